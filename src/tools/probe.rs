//! Whether a call may begin: the circuits of its worker and of its tool type, and what its arguments
//! did before.

use std::rc::Rc;

use tokio::time::Instant;

use super::circuit::{Probed, Verdict};
use super::failure::fingerprint;
use super::health::refusal;
use super::worker::Assignment;
use crate::conversation::{Outcome, OutcomeKind};

/// A call that finds out whether its tool works again. Dropping it says that it did not show.
pub(super) struct Probe {
    post: Rc<Assignment>,
    /// Of the circuit of the session's worker.
    own: bool,
    /// Of the circuit of the tool type.
    everywhere: bool,
}

/// Says whether a call with `arguments` may begin now, and why not. Nothing is begun by asking.
pub(super) fn admit(post: &Assignment, arguments: &str, now: Instant) -> Result<(), Outcome> {
    let Assignment { tool_type, health, .. } = post;
    if !health.is_troubled() && !tool_type.shared.is_troubled() {
        return Ok(());
    }
    let unavailable = |message: String| Outcome::failed(OutcomeKind::Unavailable, message);
    if health.has_crashed() && health.is_poison(fingerprint(arguments)) {
        let message = format!(
            "the tool `{}` has crashed twice with these arguments; not run again, try others",
            tool_type.name()
        );
        return Err(unavailable(message));
    }
    for verdict in [health.judge(now), tool_type.shared.judge(now)] {
        if let Verdict::Refuse { cause, retry_after } = verdict {
            return Err(unavailable(refusal(tool_type.name(), &cause, retry_after)));
        }
    }
    Ok(())
}

impl Probe {
    /// The call that was admitted at `now` begins: it is a probe if a circuit wants one.
    pub fn begin(post: &Rc<Assignment>, now: Instant) -> Option<Box<Self>> {
        let Assignment { tool_type, health, .. } = &**post;
        let own = health.is_troubled() && health.judge(now) == Verdict::Probe;
        let everywhere = tool_type.shared.is_troubled() && tool_type.shared.begin_probe(now);
        if own {
            health.begin_probe();
        }
        (own || everywhere).then(|| Box::new(Self { post: Rc::clone(post), own, everywhere }))
    }

    /// Tells the circuits what the call has shown.
    pub fn end(mut self, probed: Probed) {
        self.tell(probed);
    }

    fn tell(&mut self, probed: Probed) {
        let now = Instant::now();
        if std::mem::take(&mut self.own) {
            self.post.health.end_probe(now, probed);
        }
        if std::mem::take(&mut self.everywhere) {
            self.post.tool_type.shared.end_probe(now, probed);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.tell(Probed::Nothing);
    }
}
