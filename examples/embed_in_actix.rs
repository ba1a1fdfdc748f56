//! Conversations in an actix backend: an actor of your own holds a session on the System that is
//! already there, is asked by the rest of the program, and hears what goes on.
//!
//!     cargo run --example embed_in_actix
//!     MODEL_BASE_URL=http://127.0.0.1:11434/v1 MODEL_NAME=qwen3 cargo run --example embed_in_actix

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture};
use callsheet::mock_model::{Options, Server};
use callsheet::supervision::RoundReported;
use callsheet::tools::demo_tools;
use callsheet::{
    Answer, Endpoint, Event, HttpModel, Runtime, Session, SessionEvent, SessionOptions, ToolSet,
};

type AnyError = Box<dyn std::error::Error>;

/// Somebody's question. The answer comes when the turn is over.
#[derive(Message)]
#[rtype(result = "Result<Answer, callsheet::Error>")]
struct Enquire(&'static str);

/// Asks how many pieces of text have arrived so far.
#[derive(Message)]
#[rtype(result = "usize")]
struct CountPieces;

/// An actor like any other of the backend. It knows nothing of models and tools.
struct Concierge {
    session: Session,
    pieces: usize,
}

impl Actor for Concierge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.session.subscribe(ctx.address().recipient());
        self.session.on_round(ctx.address().recipient());
    }
}

impl Handler<Enquire> for Concierge {
    type Result = ResponseFuture<Result<Answer, callsheet::Error>>;

    fn handle(&mut self, Enquire(question): Enquire, _: &mut Self::Context) -> Self::Result {
        let session = self.session.clone();
        Box::pin(async move { session.ask(question).await }) // The mailbox stays open meanwhile.
    }
}

impl Handler<SessionEvent> for Concierge {
    type Result = ();

    fn handle(&mut self, SessionEvent(record): SessionEvent, _: &mut Self::Context) {
        match &record.event {
            Event::SessionOpened { .. } => println!("opened   {}", record.session),
            Event::TurnStarted { prompt, .. } => println!("asked    {prompt}"),
            Event::ModelAsked { round, .. } => println!("model    asked, round {round}"),
            Event::TextStreamed { .. } | Event::ReasoningStreamed { .. } => self.pieces += 1,
            Event::Replied { calls, finish, .. } => {
                println!("replied  {} calls, finish `{finish}`", calls.len());
            }
            Event::CallStarted { id, tool, .. } => println!("started  {id} {tool}"),
            Event::CallProgressed { message, .. } => println!("progress {message}"),
            Event::CallEnded { id, outcome, .. } => {
                println!("ended    {id} {}: {}", outcome.kind.as_str(), outcome.content);
            }
            Event::WorkerRestarted { tool, cause, .. } => println!("restart  {tool}: {cause}"),
            Event::TurnEnded { end, .. } => println!("turn     {end:?}"),
            _ => {} // There will be more kinds.
        }
    }
}

impl Handler<RoundReported> for Concierge {
    type Result = ();

    fn handle(&mut self, RoundReported { report, .. }: RoundReported, _: &mut Self::Context) {
        println!(
            "round {}  {} calls in {:.1?} instead of {:.1?}: saved {:.1?}; our own part {:.1?}",
            report.round,
            report.calls.len(),
            report.wall,
            report.sum,
            report.saved,
            report.overhead
        );
    }
}

impl Handler<CountPieces> for Concierge {
    type Result = usize;

    fn handle(&mut self, CountPieces: CountPieces, _: &mut Self::Context) -> usize {
        self.pieces
    }
}

/// Another part of the program. It holds an address and nothing else.
async fn lobby(concierge: Addr<Concierge>) -> Result<(), AnyError> {
    let question = "What is the weather in Paris, the stock price of AAPL and news about space?";
    let answer = concierge.send(Enquire(question)).await??;
    let pieces = concierge.send(CountPieces).await?; // Behind all the news of the turn.
    println!("\n{}\n", answer.text);
    println!("{pieces} pieces of text, {:.1?} in all", answer.report.elapsed);
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), AnyError> {
    let stand_in = Server::start(Options::default())?; // Answers without a network or a key.
    let base_url = std::env::var("MODEL_BASE_URL").unwrap_or_else(|_| stand_in.base_url());
    let name = std::env::var("MODEL_NAME").unwrap_or_else(|_| "offline".to_owned());
    let model = Arc::new(HttpModel::new(Endpoint::new(base_url), name)?);
    let tools = Arc::new(ToolSet::new(demo_tools())?);

    let runtime = Runtime::builder().in_current_system()?;
    let session = runtime.session(SessionOptions::new(model, tools));
    lobby(Concierge { session, pieces: 0 }.start()).await
}
