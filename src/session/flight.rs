//! The calls that workers have and that have not come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;

use crate::conversation::{Effects, Place, Reused, are_same, fingerprint};
use crate::tools::{CacheKey, CallContext, Completer, Completion, Completions, Ended, ToolType};

/// A call that a worker has, or whose result another one brings.
pub(super) struct InFlight {
    pub effects: Effects,
    pub dispatched: Instant,
    /// Knows whether the call has begun.
    pub context: CallContext,
    /// Whose result it has, if not its own.
    pub reused: Option<Reused>,
    /// Where its result is kept, if it is to be.
    pub cached_as: Option<Box<(Arc<ToolType>, CacheKey)>>,
    /// False once nobody waits for the answer: the worker stops or skips the call.
    awaited: bool,
    /// The run it has a part in, where identical calls run once.
    run: Option<RunKey>,
}

/// The calls of a round that workers have. Dropping it stops them.
#[derive(Default)]
pub(super) struct Flight {
    calls: Vec<InFlight>,
    completions: Option<Arc<Completions>>,
    /// Those that answer several calls, or may.
    runs: HashMap<RunKey, Run>,
}

/// Which calls are identical: the name of their tool, and the number that stands for their arguments.
pub(super) type RunKey = (Arc<str>, u64);

/// One run for identical calls.
struct Run {
    arguments: Arc<str>,
    /// The call that runs. It goes on to run for the others when nobody waits for it any more.
    leader: usize,
    /// Those that wait for it.
    followers: Vec<usize>,
    /// How many of all these calls somebody waits for.
    awaited: usize,
    /// How it ended, if it has.
    ended: Option<Ended>,
}

/// What there is of a run when one more call would have a part in it.
pub(super) enum Part {
    /// None: it runs itself, for those that follow.
    Leads(RunKey),
    /// It waits for the run, which ends at this deadline.
    Follows(RunKey, Instant),
    /// The run has ended.
    Has(Ended),
}

impl Flight {
    /// Takes in a call that begins now. Whoever runs it completes it with what comes back.
    pub fn begin(
        &mut self,
        effects: Effects,
        dispatched: Instant,
        context: CallContext,
    ) -> Completer {
        let completions = self.completions.get_or_insert_default();
        let completer = completions.completer(self.calls.len());
        self.calls.push(InFlight::new(effects, dispatched, context));
        completer
    }

    /// The call that was taken in last.
    pub fn last_mut(&mut self) -> Option<&mut InFlight> {
        self.calls.last_mut()
    }

    /// The part that a call of `tool` with these arguments has in a run of the round; `None`
    /// if it must run alone, as others stand in its place.
    pub fn part(&self, tool: &Arc<str>, arguments: &str) -> Option<Part> {
        let key = (Arc::clone(tool), fingerprint(arguments));
        match self.runs.get(&key) {
            None => Some(Part::Leads(key)),
            Some(run) if !are_same(&run.arguments, arguments) => None,
            Some(Run { ended: Some(ended), .. }) => Some(Part::Has(ended.clone())),
            Some(run) => Some(Part::Follows(key, self.calls[run.leader].context.deadline())),
        }
    }

    /// The call that was taken in last runs for those like it that come after it.
    pub fn lead(&mut self, key: RunKey, arguments: &Arc<str>) {
        let Some(leader) = self.calls.len().checked_sub(1) else { return };
        self.calls[leader].run = Some(key.clone());
        let (arguments, followers) = (Arc::clone(arguments), Vec::new());
        self.runs.insert(key, Run { arguments, leader, followers, awaited: 1, ended: None });
    }

    /// Takes in a call that waits for a run which goes on.
    pub fn follow(
        &mut self,
        key: RunKey,
        effects: Effects,
        dispatched: Instant,
        context: CallContext,
    ) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        run.followers.push(self.calls.len());
        run.awaited += 1;
        let mut call = InFlight::new(effects, dispatched, context);
        (call.run, call.reused) = (Some(key), Some(Reused::Shared));
        self.calls.push(call);
    }

    /// Makes room for `calls` more.
    pub fn reserve(&mut self, calls: usize) {
        self.calls.reserve(calls);
    }

    /// Forgets every call, and so stops those that run.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Everything that has come back by now and that somebody waited for; empty if nothing has.
    pub fn take_landed(&mut self, cx: &Context<'_>) -> Vec<Completion> {
        let Some(completions) = &self.completions else { return Vec::new() };
        let mut landed = completions.take(cx);
        if !self.runs.is_empty() {
            landed = self.with_followers(landed);
        }
        landed.retain(|Completion { place, .. }| {
            self.calls.get_mut(*place).is_some_and(|call| std::mem::take(&mut call.awaited))
        });
        landed
    }

    /// What came back, and behind each end of a run the calls that it answers as well.
    fn with_followers(&mut self, landed: Vec<Completion>) -> Vec<Completion> {
        let (mut all, now) = (Vec::with_capacity(landed.len()), Instant::now());
        for Completion { place, ended } in landed {
            let key = self.calls.get(place).and_then(|call| call.run.clone());
            let run = key.as_ref().and_then(|key| self.runs.get_mut(key));
            let run = run.filter(|run| run.leader == place);
            let mut followers = Vec::new();
            if let Some(run) = run {
                followers = std::mem::take(&mut run.followers);
                run.ended = ended.clone();
            }
            let of_follower = |place: usize| {
                let dispatched = self.calls[place].dispatched;
                let ended = ended.as_ref().map(|ended| ended.for_another(dispatched, now));
                Completion { place, ended }
            };
            let followers: Vec<_> = followers.into_iter().map(of_follower).collect();
            if let Some(key) = key.filter(|_| ended.is_none()) {
                self.runs.remove(&key); // It was lost: another call is to run itself.
            }
            all.push(Completion { place, ended });
            all.extend(followers);
        }
        all
    }

    /// The call that its completer knows by `index`.
    pub fn call(&self, index: usize) -> Option<&InFlight> {
        self.calls.get(index)
    }

    /// All calls of the round that were handed to workers, those that came back or were given up
    /// included.
    pub fn all(&self) -> impl Iterator<Item = &InFlight> {
        self.calls.iter()
    }

    /// The calls that somebody still waits for.
    pub fn awaited(&self) -> impl Iterator<Item = &InFlight> {
        self.all().filter(|call| call.awaited)
    }

    /// Gives up every call, and keeps what is known of them.
    pub fn stop(&mut self) {
        (0..self.calls.len()).for_each(|index| self.give_up_at(index));
    }

    /// Says whether somebody still waits for any of them.
    pub fn has_awaited(&self) -> bool {
        self.awaited().next().is_some()
    }

    /// The call at `place` in the round.
    pub fn at(&self, place: Place) -> Option<&InFlight> {
        self.all().find(|call| call.place() == place)
    }

    /// Gives up the call at `place`, and says whether somebody still waited for it; `None` if no
    /// worker has it.
    pub fn give_up(&mut self, place: Place) -> Option<bool> {
        let index = self.calls.iter().position(|call| call.place() == place)?;
        let was_awaited = self.calls[index].awaited;
        self.give_up_at(index);
        Some(was_awaited)
    }

    /// Gives up the calls whose deadline has come by `now`.
    pub fn give_up_late(&mut self, now: Instant) {
        for index in 0..self.calls.len() {
            if self.calls[index].context.deadline() <= now {
                self.give_up_at(index);
            }
        }
    }

    /// What runs for others goes on until nobody waits for any of them.
    fn give_up_at(&mut self, index: usize) {
        let call = &mut self.calls[index];
        if !std::mem::take(&mut call.awaited) {
            return;
        }
        let run = call.run.clone().and_then(|key| self.runs.get_mut(&key).map(|run| (key, run)));
        let Some((key, run)) = run.filter(|(_, run)| run.ended.is_none()) else {
            return call.context.give_up();
        };
        run.awaited -= 1;
        if run.awaited > 0 {
            return;
        }
        self.calls[run.leader].context.give_up();
        self.runs.remove(&key);
    }

    /// The first deadline of a call that somebody still waits for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.awaited().map(|call| call.context.deadline()).min()
    }
}

impl InFlight {
    fn new(effects: Effects, dispatched: Instant, context: CallContext) -> Self {
        let (reused, cached_as, run) = (None, None, None);
        Self { effects, dispatched, context, reused, cached_as, awaited: true, run }
    }

    /// Where it stands in the round.
    pub fn place(&self) -> Place {
        self.context.key().place()
    }

    /// Says whether somebody still waits for the answer. Of a call that has no answer and none on
    /// its way, that nobody does means that it was given up.
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // One that nobody waits for may run for others.
        if self.awaited || self.run.is_some() {
            self.context.give_up();
        }
    }
}
