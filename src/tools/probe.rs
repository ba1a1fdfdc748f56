//! Whether a call may begin: the circuits of its worker and of its tool type, and what its arguments
//! did before.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use super::circuit::{Probed, Verdict};
use super::failure::fingerprint;
use super::health::refusal;
use super::later;
use super::worker::Assignment;
use crate::conversation::{Outcome, OutcomeKind};

/// How much later than its deadline a probe may end: then another one finds out.
const GRACE: Duration = Duration::from_secs(1);

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
    /// The call that was admitted at `now` and ends by `deadline` begins: it is a probe if a circuit
    /// wants one.
    pub fn begin(post: &Rc<Assignment>, now: Instant, deadline: Instant) -> Option<Box<Self>> {
        let Assignment { tool_type, health, .. } = &**post;
        let until = later(deadline, GRACE);
        let own = health.is_troubled() && health.judge(now) == Verdict::Probe;
        let shared = &tool_type.shared;
        let everywhere = shared.is_troubled() && shared.begin_probe(now, until);
        if own {
            health.begin_probe(until);
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
            let Assignment { tool_type, health, .. } = &*self.post;
            let tool = tool_type.name();
            if tool_type.shared.end_probe(now, probed) {
                info!(%tool, "tool works again, in all sessions");
                health.tell_recovery();
            } else if probed == Probed::Badly {
                error!(%tool, "tool does not work yet, withdrawn again in all sessions");
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.tell(Probed::Nothing);
    }
}
