//! How a provider writes calls into its stream. Only combinations that can be understood: where
//! nothing tells two calls apart, nobody could say what was meant.

use crate::support::dice::Dice;

/// The number that says which call a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    FromZero,
    /// Counted with a text before the calls.
    FromOne,
    WithGaps,
    AllZero,
    Missing,
}

/// The id of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    Once,
    Always,
    ThenEmpty,
    ThenNull,
    Missing,
    /// All calls have the same.
    SameForAll,
    /// Each piece has another.
    Rotating,
}

/// The name of a call's tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Once,
    Always,
    ThenEmpty,
    InTwo,
    Growing,
    /// After the arguments.
    Late,
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Their text in pieces.
    Pieces,
    Whole,
    /// As a JSON object in place of its text.
    Object,
    /// An empty object first, as a text.
    Placeholder,
    /// And as a JSON object.
    ObjectPlaceholder,
    /// All of them once more at the end.
    Repeated,
    /// A beginning, and then all of them in the last piece.
    Flushed,
    /// As a text within a text.
    Twice,
}

/// How lines and events end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    Lf,
    CrLf,
    Cr,
    /// No blank line between events.
    Single,
}

/// How a provider writes.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub index: Index,
    pub ids: Ids,
    pub names: Names,
    pub style: Style,
    /// So many calls in a hundred are written in a style of their own.
    pub mixed: u64,
    pub lines: Lines,
    /// There is one call, and it comes in the old field `function_call`.
    pub legacy: bool,
    /// A finish reason comes with every chunk.
    pub finishes_always: bool,
    /// So many pieces in a hundred come in the chunk of the piece before.
    pub crowded: u64,
    /// So many chunks in a hundred are followed by something else: text, reasoning, a comment.
    pub chatty: u64,
}

const STYLES: [Style; 12] = [
    Style::Pieces,
    Style::Pieces,
    Style::Pieces,
    Style::Pieces,
    Style::Whole,
    Style::Whole,
    Style::Object,
    Style::Placeholder,
    Style::ObjectPlaceholder,
    Style::Repeated,
    Style::Flushed,
    Style::Twice,
];

impl Dialect {
    /// The dialect of a reply with so many `calls`.
    pub fn new(dice: &mut Dice, calls: usize) -> Self {
        let index = dice.one_of(&[
            Index::FromZero,
            Index::FromZero,
            Index::FromZero,
            Index::FromOne,
            Index::WithGaps,
            Index::AllZero,
            Index::Missing,
        ]);
        let ids = ids(dice, index);
        let names = names(dice, index, ids);
        // Two names in one chunk are those of two calls, where nothing else tells them apart.
        let is_alone = index == Index::Missing && matches!(names, Names::InTwo | Names::Growing);
        Self {
            index,
            ids,
            names,
            style: dice.one_of(&STYLES),
            mixed: dice.one_of(&[0, 0, 30, 100]),
            lines: dice.one_of(&[Lines::Lf, Lines::Lf, Lines::CrLf, Lines::Cr, Lines::Single]),
            legacy: calls == 1 && dice.percent(20),
            finishes_always: dice.percent(12),
            crowded: if is_alone { 0 } else { dice.one_of(&[0, 0, 20, 70]) },
            chatty: dice.one_of(&[0, 0, 15, 50]),
        }
    }

    /// The style of the next call.
    pub fn style(&self, dice: &mut Dice) -> Style {
        if dice.percent(self.mixed) { dice.one_of(&STYLES) } else { self.style }
    }

    /// Says whether only pieces tell one call from the next: one that has said nothing would be taken
    /// for the beginning of the next.
    pub fn needs_arguments(&self) -> bool {
        self.index == Index::Missing && self.ids == Ids::Missing
    }

    /// Says whether more can come for a call once the next has begun.
    pub fn can_go_back(&self) -> bool {
        matches!(self.index, Index::FromZero | Index::FromOne | Index::WithGaps)
    }
}

fn ids(dice: &mut Dice, index: Index) -> Ids {
    use Ids::{Always, Missing, Once, Rotating, SameForAll, ThenEmpty, ThenNull};
    match index {
        Index::AllZero => dice.one_of(&[Once, Always, ThenEmpty, ThenNull, Rotating]),
        Index::Missing => dice.one_of(&[Once, Always, ThenEmpty, ThenNull, Missing]),
        Index::FromZero | Index::FromOne | Index::WithGaps => {
            let all = [Once, Once, Always, ThenEmpty, ThenNull, Missing, SameForAll, Rotating];
            dice.one_of(&all)
        }
    }
}

fn names(dice: &mut Dice, index: Index, ids: Ids) -> Names {
    use Names::{Always, Growing, InTwo, Late, Once, ThenEmpty};
    match (index, ids) {
        (_, Ids::Rotating) => dice.one_of(&[Once, ThenEmpty]),
        (Index::Missing, Ids::Always) => dice.one_of(&[Once, Always, ThenEmpty, InTwo, Growing]),
        (Index::Missing, _) => dice.one_of(&[Once, ThenEmpty, InTwo, Growing]),
        (Index::AllZero, _) => dice.one_of(&[Once, Always, ThenEmpty, InTwo, Growing]),
        (Index::FromZero | Index::FromOne | Index::WithGaps, _) => {
            dice.one_of(&[Once, Once, Always, ThenEmpty, InTwo, Growing, Late])
        }
    }
}
