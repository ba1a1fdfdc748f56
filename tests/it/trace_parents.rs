//! A caller's `traceparent` reaches the tools, also where nobody makes spans.

use std::sync::{Arc, Mutex};

use callsheet::testing::{self, reply};
use callsheet::tools::http::HttpTool;
use callsheet::{Effects, Question, ToolType};
use serde_json::json;

use crate::support::peer::{Peer, json as json_reply};
use crate::support::{dynamic, stage};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a call is told to pass on.
fn passed_on(question: Question) -> Option<String> {
    testing::run(async {
        let heard = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&heard);
        let tool = dynamic("listen", json!({"type": "object"}), move |_, context| {
            let passed_on = context.trace_parent().map(|parent| parent.to_string());
            *hears.lock().expect("no test panics with it") = Some(passed_on);
            async { Ok("heard".to_owned()) }
        });
        let script = [reply().call("listen", "{}"), reply().text("done")];
        let stage = stage(script, [tool.effects(Effects::None)]);
        stage.session.ask(question).await.expect("the turn ends well");
        let heard = heard.lock().expect("no test panics with it").take();
        heard.expect("the tool was called")
    })
}

#[test]
fn what_the_caller_said_is_passed_on_unchanged() {
    let said = Question::new("go").trace_parent(PARENT);
    assert_eq!(passed_on(said).as_deref(), Some(PARENT));
}

#[test]
fn what_is_no_traceparent_is_as_if_it_were_not_said() {
    assert_eq!(passed_on(Question::new("go").trace_parent("abc")), None);
    assert_eq!(passed_on(Question::new("go")), None);
}

/// The header `traceparent` of a request that a tool with these headers of its own makes.
fn sent(headers: &[(&str, &str)], question: Question) -> Option<String> {
    testing::run(async {
        tokio::time::resume(); // The peer's time is the machine's.
        let peer = Peer::start([vec![json_reply("1")]]);
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let tool = HttpTool {
            allow_private: vec!["127.0.0.1".to_owned()],
            headers: headers.iter().map(pair).collect(),
            ..HttpTool::new("GET", format!("http://{}/", peer.addr()))
        };
        let tool = ToolType::http("t", "for a test", json!({"type": "object"}), &tool);
        let tool = tool.expect("the tool is good").effects(Effects::None);
        let stage = stage([reply().call("t", "{}"), reply().text("done")], [tool]);
        stage.session.ask(question).await.expect("the turn ends well");
        let head = peer.heard().remove(0).head;
        let found = head.lines().find_map(|line| line.strip_prefix("traceparent: "));
        found.map(str::to_owned)
    })
}

#[test]
fn an_http_tool_sends_it_as_a_header_unless_it_has_one_of_its_own() {
    let asked = || Question::new("go").trace_parent(PARENT);
    assert_eq!(sent(&[], asked()).as_deref(), Some(PARENT));
    assert_eq!(sent(&[("Traceparent", "mine")], asked()).as_deref(), Some("mine"));
    assert_eq!(sent(&[], Question::new("go")), None);
}

#[cfg(unix)]
#[test]
fn a_program_has_it_in_its_environment() {
    let told = |question: Question| {
        testing::run(async {
            tokio::time::resume(); // Processes know of no other time.
            let program = callsheet::tools::Program::new(["env"]);
            let tool = program.tool_type("env", "for a test", json!({"type": "object"}));
            let tool = tool.expect("it is in order").effects(Effects::None);
            let stage = stage([reply().call("env", "{}"), reply().text("done")], [tool]);
            let answer = stage.session.ask(question).await.expect("the turn ends well");
            let told = answer.report.rounds[0].calls[0].result.clone().expect("it is answered");
            let found = told.lines().find_map(|line| line.strip_prefix("TRACEPARENT="));
            found.map(str::to_owned)
        })
    };
    assert_eq!(told(Question::new("go").trace_parent(PARENT)).as_deref(), Some(PARENT));
    assert_eq!(told(Question::new("go")), None);
}
