//! The coordinator's part of a shutdown: it says when its turn is over, and cuts it when told to.

use actix::{Context, Handler, Message, MessageResult};
use tokio::sync::oneshot;

use super::coordinator::Coordinator;
use super::shutdown::CutTurn;
use super::turn::Turn;

/// Asks to be told when the turn that is under way is over. Dropped unanswered if there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drain(pub oneshot::Sender<TurnOver>);

/// How a turn ended.
#[derive(Clone)]
pub(super) enum TurnOver {
    ByItself,
    Cut(CutTurn),
}

/// Cuts the turn that is under way. The answer says what is cut, ahead of its being on record.
#[derive(Message)]
#[rtype(result = "Option<CutTurn>")]
pub(super) struct CutOff;

impl Handler<Drain> for Coordinator {
    type Result = ();

    fn handle(&mut self, Drain(reply): Drain, _: &mut Context<Self>) {
        while let Some(ask) = self.waiting.take_first() {
            self.begin(ask); // That is refused: the shutdown has begun.
        }
        if self.turn.is_none() {
            self.hand_back();
        }
        // Also of a turn that a panic has cut: it is ended when the session is open again.
        if let Some(asker) = &mut self.asker {
            asker.end_awaited.push(reply);
        }
    }
}

impl Handler<CutOff> for Coordinator {
    type Result = MessageResult<CutOff>;

    fn handle(&mut self, _: CutOff, _: &mut Context<Self>) -> Self::Result {
        let Some(turn) = &mut self.turn else {
            // A panic has cut it, and the session rests: its end is not on record yet.
            let cut =
                |turn| CutTurn { session: self.id.clone(), turn, calls: vec![], recorded: false };
            return MessageResult(self.asker.as_ref().map(|asker| cut(asker.turn)));
        };
        if turn.can_be_cancelled() && !turn.cancelled {
            // `Drive` is polled after the mailbox and acts on it.
            (turn.cancelled, turn.shut_down) = (true, true);
        }
        let (session, turn) = (self.id.clone(), self.state.turns());
        let call = |place| self.state.call_at(place).map(|(id, tool)| (id.clone(), tool.clone()));
        let calls = self.state.unanswered().filter_map(call).collect();
        MessageResult(Some(CutTurn { session, turn, calls, recorded: false }))
    }
}

impl Coordinator {
    /// How `turn`, which is over, ended.
    pub(super) fn turn_over(&self, turn: &mut Turn) -> TurnOver {
        match turn.cut.take() {
            Some(calls) => {
                let (session, recorded) = (self.id.clone(), turn.unkept.is_none());
                TurnOver::Cut(CutTurn { session, turn: self.state.turns(), calls, recorded })
            }
            None => TurnOver::ByItself,
        }
    }
}
