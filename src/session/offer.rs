//! Which tools a request lists.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use crate::model::ToolName;
use crate::supervision::Crew;
use crate::tools::{ToolSet, ToolType};

/// The tools that a request lists.
pub(super) struct Offer<'a> {
    pub tools: Cow<'a, [u8]>,
    pub names: Cow<'a, [ToolName]>,
    pub may_call: bool,
}

/// All tools but those that are out of service. If that is every one, and the history holds calls,
/// all are listed and none may be called.
pub(super) fn offer<'a>(tools: &'a ToolSet, crew: &Crew, history_has_calls: bool) -> Offer<'a> {
    let now = Instant::now();
    let is_withdrawn = |(place, tool): (usize, &Arc<ToolType>)| {
        crew.withdraws(place, now) || tool.shared().withdraws(now)
    };
    let all = |may_call| {
        let names = Cow::Borrowed(tools.names());
        Offer { tools: Cow::Borrowed(tools.on_the_wire()), names, may_call }
    };
    let withdrawn: Vec<bool> = match tools.iter().enumerate().any(is_withdrawn) {
        false => return all(true),
        true => tools.iter().enumerate().map(is_withdrawn).collect(),
    };
    let in_service = tools.names().iter().zip(&withdrawn).filter(|(_, withdrawn)| !**withdrawn);
    let names: Vec<_> = in_service.map(|(name, _)| name.clone()).collect();
    if names.is_empty() && history_has_calls {
        return all(false);
    }
    let tools = Cow::Owned(tools.without(&withdrawn));
    Offer { tools, names: Cow::Owned(names), may_call: true }
}
