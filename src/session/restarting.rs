//! A tool's workers are made anew because somebody wants it.

use std::sync::Arc;

use actix::{Context, Handler, Message, MessageResult, WeakAddr};
use futures_util::future::join_all;

use super::coordinator::Coordinator;

/// Has the worker of this tool made anew. The answer says whether there is one.
#[derive(Message)]
#[rtype(result = "bool")]
struct RestartTool(Arc<str>);

/// Has the worker of `tool` made anew in each of `sessions`, and says how many there are.
pub(super) async fn restart_in(sessions: Vec<WeakAddr<Coordinator>>, tool: Arc<str>) -> usize {
    let living = sessions.iter().filter_map(WeakAddr::upgrade);
    let asked = living.map(|session| session.send(RestartTool(Arc::clone(&tool))));
    let answers = join_all(asked).await.into_iter();
    answers.filter(|answer| matches!(answer, Ok(true))).count() // One that has ended has no worker.
}

impl Handler<RestartTool> for Coordinator {
    type Result = MessageResult<RestartTool>;

    fn handle(&mut self, RestartTool(name): RestartTool, _: &mut Context<Self>) -> Self::Result {
        let Some(place) = self.tools.index_of(&name) else { return MessageResult(false) };
        let was_out = self.tools.at(place).is_some_and(|tool| tool.shared().close_circuit());
        MessageResult(self.crew.restart(place, was_out)) // `Drive` is polled after the mailbox.
    }
}
