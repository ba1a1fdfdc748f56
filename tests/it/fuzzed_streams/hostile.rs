//! What becomes of a stream on its way: it arrives in pieces, breaks off, or comes damaged.

use std::time::Duration;

use super::stream::{Stream, write};
use super::truth::{Playback, Truth};
use super::wish::Wish;
use crate::support::dice::Dice;

/// A stream as it is sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Each comes so long after the one before.
    pub pieces: Vec<(Duration, Vec<u8>)>,
    /// The model's closing braces are trusted.
    pub trusted: bool,
    /// It ends with the loss of its connection.
    pub is_lost: bool,
    /// Nobody knows what damaged bytes say.
    pub truth: Option<Truth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    None,
    BreaksOff,
    Bytes,
    Events,
    Pieces,
}

impl Sent {
    pub fn new(dice: &mut Dice, wishes: &[Wish]) -> Self {
        let mut stream = write(dice, wishes);
        let damage = match dice.between(1, 100) {
            1..=52 => Damage::None,
            53..=72 => Damage::BreaksOff,
            73..=82 => Damage::Bytes,
            83..=92 => Damage::Events,
            _ => Damage::Pieces,
        };
        let whole = stream.bytes.len();
        match damage {
            Damage::None | Damage::Pieces => {}
            Damage::BreaksOff => stream.bytes.truncate(dice.between(0, whole as u64) as usize),
            Damage::Bytes => flip(dice, &mut stream.bytes),
            Damage::Events => stream.bytes = shuffled(dice, events(&stream)).concat(),
        }
        let mut parts = cut(dice, &stream);
        if damage == Damage::Pieces {
            parts = shuffled(dice, parts);
        }
        let pauses = dice.one_of(&[0, 5, 60, 120, 2_000]);
        let pause = |dice: &mut Dice| {
            let ms = if dice.percent(20) { 0 } else { dice.between(0, pauses) };
            Duration::from_millis(ms)
        };
        let mut pieces: Vec<_> = parts.into_iter().map(|part| (pause(dice), part)).collect();
        if dice.percent(30) {
            pieces.push((pause(dice), Vec::new())); // The end comes later.
        }
        let is_lost = damage == Damage::BreaksOff && dice.percent(30);
        let truth = match damage {
            Damage::None => Some(truth(&stream, &pieces, false)),
            Damage::BreaksOff if is_lost => Some(truth(&stream, &pieces, true).lost()),
            Damage::BreaksOff => Some(truth(&stream, &pieces, true)),
            Damage::Bytes | Damage::Events | Damage::Pieces => None,
        };
        Self { pieces, trusted: dice.percent(60), is_lost, truth }
    }

    /// All that is sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }
}

fn truth(stream: &Stream, pieces: &[(Duration, Vec<u8>)], is_cut: bool) -> Truth {
    let (mut end, mut at) = (0, Duration::ZERO);
    let ends: Vec<_> = pieces
        .iter()
        .map(|(pause, bytes)| {
            (end, at) = (end + bytes.len(), at + *pause);
            (end, at)
        })
        .collect();
    let Stream { notes, events, calls, ends_late, .. } = stream;
    let length = stream.bytes.len();
    let ends_late = *ends_late;
    Playback { calls, notes, events, ends_late, length, is_cut, pieces: &ends }.truth()
}

fn flip(dice: &mut Dice, bytes: &mut [u8]) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..dice.between(1, 4) {
        let place = dice.between(0, bytes.len() as u64 - 1) as usize;
        bytes[place] = match dice.between(0, 3) {
            0 => bytes[place] ^ (1 << dice.between(0, 7)),
            1 => dice.between(0, 255) as u8,
            _ => dice.one_of(b"{}[]\",:\\\n\r 0ae"),
        };
    }
}

fn events(stream: &Stream) -> Vec<Vec<u8>> {
    let mut begin = 0;
    let event = |end: &usize| stream.bytes[std::mem::replace(&mut begin, *end)..*end].to_vec();
    stream.events.iter().map(event).collect()
}

/// With some of them lost, sent twice, or at another place.
fn shuffled(dice: &mut Dice, mut parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for _ in 0..dice.between(1, 3) {
        if parts.is_empty() {
            break;
        }
        let last = parts.len() as u64 - 1;
        let [one, other] = [(); 2].map(|()| dice.between(0, last) as usize);
        match dice.between(0, 2) {
            0 => drop(parts.remove(one)),
            1 => parts.insert(other, parts[one].clone()),
            _ => {
                parts.swap(one, if dice.percent(50) { other } else { (one + 1).min(last as usize) })
            }
        }
    }
    parts
}

/// Cuts what is sent into the pieces that the network makes of it.
fn cut(dice: &mut Dice, stream: &Stream) -> Vec<Vec<u8>> {
    let bytes = &stream.bytes;
    let length = bytes.len() as u64;
    let mut cuts: Vec<usize> = match dice.between(1, 100) {
        1..=12 => Vec::new(),
        13..=45 => stream.events.clone(),
        46..=50 if length < 3_000 => {
            (0..bytes.len()).step_by(dice.between(1, 9) as usize).collect()
        }
        _ => (0..dice.between(1, 20)).map(|_| dice.between(0, length) as usize).collect(),
    };
    cuts.retain(|cut| *cut < bytes.len());
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}
