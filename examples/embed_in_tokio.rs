//! Conversations in a plain tokio program: the sessions live on threads of their own, and their
//! handles are used from any task. A tool of your own learns who is asking.
//!
//!     cargo run --example embed_in_tokio
//!     MODEL_BASE_URL=http://127.0.0.1:11434/v1 MODEL_NAME=qwen3 cargo run --example embed_in_tokio

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use callsheet::mock_model::{Options, Server};
use callsheet::{
    CallContext, Effects, Endpoint, Event, HttpModel, Question, Runtime, Session, SessionOptions,
    ToolSet, ToolType,
};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Who is asking. The model never sees it, and cannot ask on behalf of somebody else.
struct Customer(&'static str);

/// What the model may choose. The schema it is shown is made of this type and its comments.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct GetOrderStatus {
    /// The number of the order.
    order: u32,
}

#[derive(serde::Serialize)]
struct OrderStatus {
    order: u32,
    customer: &'static str,
    status: &'static str,
}

async fn get_order_status(
    arguments: GetOrderStatus,
    context: CallContext,
) -> Result<OrderStatus, String> {
    let Customer(customer) = *context.get().ok_or("nobody is logged in")?;
    tokio::time::sleep(Duration::from_millis(200)).await; // Here you would ask your database.
    let status = if arguments.order.is_multiple_of(2) { "delivered" } else { "on its way" };
    Ok(OrderStatus { order: arguments.order, customer, status })
}

/// Prints the text while it is written, line by line, with the name in front: three sessions speak
/// at once.
async fn print_text(name: &'static str, session: Session) {
    let mut events = session.events();
    drop(session); // The stream ends with the session, which a handle would keep alive.
    let mut line = String::new();
    while let Some(record) = events.next().await {
        match &record.event {
            Event::TextStreamed { text } => line.push_str(text),
            Event::Replied { text, .. } if !text.is_empty() => line.push('\n'),
            Event::CallEnded { tool, outcome, .. } => {
                println!("{name:>6} | [{tool}: {}]", outcome.kind.as_str());
            }
            _ => {}
        }
        while let Some((done, rest)) = line.split_once('\n') {
            println!("{name:>6} | {done}");
            line = rest.to_owned();
        }
    }
}

async fn serve(
    session: Session,
    name: &'static str,
    prompt: &'static str,
) -> Result<(), callsheet::Error> {
    let answer = session.ask(Question::new(prompt).context(Customer(name))).await?;
    for round in answer.report.rounds.iter().filter(|round| !round.calls.is_empty()) {
        println!(
            "{name:>6} = {} calls in {:.1?} instead of {:.1?}",
            round.calls.len(),
            round.wall,
            round.sum
        );
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let stand_in = Server::start(Options::default())?; // Answers without a network or a key.
    let base_url = std::env::var("MODEL_BASE_URL").unwrap_or_else(|_| stand_in.base_url());
    let name = std::env::var("MODEL_NAME").unwrap_or_else(|_| "offline".to_owned());
    let model = Arc::new(HttpModel::new(Endpoint::new(base_url), name)?);
    let tool = ToolType::typed("get_order_status", "The status of an order", get_order_status)
        .effects(Effects::None);
    let options = SessionOptions::new(model, Arc::new(ToolSet::new([tool])?));

    let runtime = Runtime::builder().arbiters(2).start()?;
    let mut tasks = tokio::task::JoinSet::new();
    for (name, prompt) in [
        ("anna", "What is the status of order 17 and order 18?"),
        ("boris", "What is the status of order 4?"),
        ("chen", "What is the status of order 1, order 2 and order 3?"),
    ] {
        let session = runtime.session(options.clone());
        let printing = tokio::spawn(print_text(name, session.clone()));
        tasks.spawn(async move {
            let served = serve(session, name, prompt).await;
            printing.await?;
            served.map_err(AnyError::from)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
