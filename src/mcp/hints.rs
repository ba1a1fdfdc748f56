//! What a server's hints are worth: effects and approval of its tools.

use rmcp::model::ToolAnnotations;

use super::ToolTerms;
use crate::conversation::{Approval, Effects};

/// The effects and the approval of a tool with these `hints`, of a server that is `trusted` or not,
/// where the settings say `own` of the tool itself and `all` of the whole server.
///
/// What is said of the tool itself holds. Hints of a trusted server hold where nothing is said. The
/// tools of another server have effects `once` and need approval until something is said of the
/// server, and then its hints may still tighten that.
pub(super) fn judge(
    hints: Option<&ToolAnnotations>,
    trusted: bool,
    own: &ToolTerms,
    all: &ToolTerms,
) -> (Effects, Approval) {
    let hinted = hints.map_or((Effects::Once, Approval::Always), all_hints);
    let (effects, approval) = match trusted {
        true => (all.effects.unwrap_or(hinted.0), all.approval.unwrap_or(hinted.1)),
        false => {
            let (least_effects, least_approval) =
                hints.map_or((Effects::None, Approval::Never), warnings);
            (
                stricter(all.effects.unwrap_or(Effects::Once), least_effects),
                more_often(all.approval.unwrap_or(Approval::Always), least_approval),
            )
        }
    };
    (own.effects.unwrap_or(effects), own.approval.unwrap_or(approval))
}

/// What all hints say, where what is left out is taken for the worst, as the protocol has it.
fn all_hints(hints: &ToolAnnotations) -> (Effects, Approval) {
    let reads_only = hints.read_only_hint == Some(true);
    let effects = match hints.idempotent_hint {
        _ if reads_only => Effects::None,
        Some(true) => Effects::Idempotent,
        _ => Effects::Once,
    };
    let harmless = reads_only || hints.destructive_hint == Some(false);
    (effects, if harmless { Approval::Never } else { Approval::Always })
}

/// What is said against the tool, in so many words.
fn warnings(hints: &ToolAnnotations) -> (Effects, Approval) {
    let effects = match (hints.read_only_hint, hints.idempotent_hint) {
        (Some(false), Some(true)) => Effects::Idempotent,
        (Some(false), _) => Effects::Once,
        _ => Effects::None,
    };
    let destroys = hints.destructive_hint == Some(true) && hints.read_only_hint != Some(true);
    (effects, if destroys { Approval::Always } else { Approval::Never })
}

fn stricter(one: Effects, other: Effects) -> Effects {
    match (one, other) {
        (Effects::Once, _) | (_, Effects::Once) => Effects::Once,
        (Effects::Idempotent, _) | (_, Effects::Idempotent) => Effects::Idempotent,
        (Effects::None, Effects::None) => Effects::None,
    }
}

fn more_often(one: Approval, other: Approval) -> Approval {
    match (one, other) {
        (Approval::Outside, _) | (_, Approval::Outside) => Approval::Outside,
        (Approval::Always, _) | (_, Approval::Always) => Approval::Always,
        (Approval::OncePerSession, _) | (_, Approval::OncePerSession) => Approval::OncePerSession,
        (Approval::Never, Approval::Never) => Approval::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(
        read_only: Option<bool>,
        destructive: Option<bool>,
        idempotent: Option<bool>,
    ) -> ToolAnnotations {
        let mut hints = ToolAnnotations::default();
        hints.read_only_hint = read_only;
        hints.destructive_hint = destructive;
        hints.idempotent_hint = idempotent;
        hints
    }

    fn said(effects: Effects, approval: Approval) -> ToolTerms {
        ToolTerms { effects: Some(effects), approval: Some(approval), ..ToolTerms::default() }
    }

    const NOTHING: ToolTerms = ToolTerms {
        effects: None,
        approval: None,
        time_limit: None,
        silence_limit: None,
        retries: None,
        max_concurrency: None,
    };

    #[test]
    fn a_server_that_is_not_trusted_cannot_talk_its_tools_harmless() {
        let best = hints(Some(true), Some(false), Some(true));
        let judged = judge(Some(&best), false, &NOTHING, &NOTHING);
        assert_eq!(judged, (Effects::Once, Approval::Always));
        assert_eq!(judge(None, false, &NOTHING, &NOTHING), judged);
    }

    #[test]
    fn the_hints_of_a_trusted_server_hold() {
        let trusted = |hints: ToolAnnotations| judge(Some(&hints), true, &NOTHING, &NOTHING);
        assert_eq!(trusted(hints(Some(true), None, None)), (Effects::None, Approval::Never));
        let judged = trusted(hints(Some(false), Some(false), Some(true)));
        assert_eq!(judged, (Effects::Idempotent, Approval::Never));
        let judged = trusted(hints(Some(false), Some(true), Some(true)));
        assert_eq!(judged, (Effects::Idempotent, Approval::Always));
        assert_eq!(trusted(hints(None, None, None)), (Effects::Once, Approval::Always));
        assert_eq!(judge(None, true, &NOTHING, &NOTHING), (Effects::Once, Approval::Always));
    }

    #[test]
    fn what_is_said_of_a_server_is_tightened_by_its_hints_and_never_loosened() {
        let all = said(Effects::None, Approval::Never);
        let judged = |hints: ToolAnnotations| judge(Some(&hints), false, &NOTHING, &all);
        assert_eq!(judged(hints(None, None, None)), (Effects::None, Approval::Never));
        let writes = hints(Some(false), Some(true), None);
        assert_eq!(judged(writes), (Effects::Once, Approval::Always));
        let adds = hints(Some(false), Some(false), Some(true));
        assert_eq!(judged(adds), (Effects::Idempotent, Approval::Never));
        let strict = said(Effects::Once, Approval::OncePerSession);
        let best = hints(Some(true), Some(false), Some(true));
        let judged = judge(Some(&best), false, &NOTHING, &strict);
        assert_eq!(judged, (Effects::Once, Approval::OncePerSession));
    }

    #[test]
    fn what_is_said_of_the_tool_itself_holds() {
        let worst = hints(Some(false), Some(true), Some(false));
        let own = said(Effects::None, Approval::Never);
        for trusted in [true, false] {
            let judged = judge(Some(&worst), trusted, &own, &NOTHING);
            assert_eq!(judged, (Effects::None, Approval::Never));
        }
    }
}
