//! Servers that others wrote, as they come from their registries: each tool called once, progress,
//! cancelling, and a server killed in the middle of a call. They are where `CALLSHEET_MCP_SERVERS`
//! says (`.ci/mcp` puts them there); without it there is nothing to test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use callsheet::mcp::{Condition, Program, Protocol, Reach, ServerSettings, ToolTerms};
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{Approval, Effects};
use serde_json::{Value, json};

use super::{Directory, World, run, told};
use crate::support::outcomes;

fn place() -> Option<PathBuf> {
    std::env::var_os("CALLSHEET_MCP_SERVERS").map(PathBuf::from)
}

/// A server, how it is started, and a call of each of its tools, in this order.
struct Real {
    name: &'static str,
    reach: Reach,
    calls: Vec<(&'static str, Value)>,
    protocol: Protocol,
}

impl Real {
    fn settings(&self) -> ServerSettings {
        let terms = ToolTerms {
            effects: Some(Effects::None),
            approval: Some(Approval::Never),
            ..ToolTerms::default()
        };
        // What is said of the server is tightened by its hints; what is said of a tool is not.
        let tool_terms =
            self.calls.iter().map(|(tool, _)| ((*tool).to_owned(), terms.clone())).collect();
        let reach = self.reach.clone();
        let protocol = self.protocol;
        ServerSettings { terms, tool_terms, protocol, ..ServerSettings::new(self.name, reach) }
    }
}

fn program(command: impl AsRef<Path>, args: &[&str]) -> Reach {
    Reach::Stdio(Program {
        command: command.as_ref().to_string_lossy().into_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
        cwd: None,
    })
}

fn node(place: &Path, package: &str, args: &[&str]) -> Reach {
    let script =
        place.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js");
    program("node", &[&[&*script.to_string_lossy()], args].concat())
}

fn everything(place: &Path) -> Real {
    Real {
        name: "everything",
        reach: node(place, "server-everything", &["stdio"]),
        protocol: Protocol::Auto,
        calls: vec![
            ("echo", json!({"message": "hello"})),
            ("get-annotated-message", json!({"messageType": "success", "includeImage": true})),
            ("get-env", json!({})),
            ("get-resource-links", json!({"count": 2})),
            ("get-resource-reference", json!({"resourceType": "Text", "resourceId": 1})),
            ("get-structured-content", json!({"location": "Chicago"})),
            ("get-sum", json!({"a": 2, "b": 40})),
            ("get-tiny-image", json!({})),
            (
                "gzip-file-as-resource",
                json!({"name": "a.gz", "data": "data:text/plain,hello",
                "outputType": "resource"}),
            ),
            ("toggle-simulated-logging", json!({})),
            ("toggle-subscriber-updates", json!({})),
            ("trigger-long-running-operation", json!({"duration": 0.4, "steps": 2})),
            ("simulate-research-query", json!({"topic": "actors"})),
        ],
    }
}

fn filesystem(place: &Path, directory: &Path) -> Real {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let root = directory.to_string_lossy().into_owned();
    Real {
        name: "filesystem",
        reach: node(place, "server-filesystem", &[&root]),
        protocol: Protocol::Auto,
        calls: vec![
            ("list_allowed_directories", json!({})),
            ("create_directory", json!({"path": path("d")})),
            ("write_file", json!({"path": path("d/a.txt"), "content": "one\ntwo\n"})),
            ("read_file", json!({"path": path("d/a.txt")})),
            ("read_text_file", json!({"path": path("d/a.txt"), "head": 1})),
            ("read_media_file", json!({"path": path("d/a.txt")})),
            ("read_multiple_files", json!({"paths": [path("d/a.txt")]})),
            (
                "edit_file",
                json!({"path": path("d/a.txt"),
                "edits": [{"oldText": "two", "newText": "three"}]}),
            ),
            ("list_directory", json!({"path": path("d")})),
            ("list_directory_with_sizes", json!({"path": path("d")})),
            ("directory_tree", json!({"path": root})),
            ("search_files", json!({"path": root, "pattern": "**/*.txt"})),
            ("get_file_info", json!({"path": path("d/a.txt")})),
            ("move_file", json!({"source": path("d/a.txt"), "destination": path("d/b.txt")})),
        ],
    }
}

fn memory(place: &Path, directory: &Path) -> Real {
    let mut reach = node(place, "server-memory", &[]);
    if let Reach::Stdio(program) = &mut reach {
        let file = directory.join("memory.jsonl").to_string_lossy().into_owned();
        program.env.push(("MEMORY_FILE_PATH".to_owned(), file.into()));
    }
    let relation = json!({"from": "a", "to": "b", "relationType": "knows"});
    Real {
        name: "memory",
        reach,
        protocol: Protocol::Auto,
        calls: vec![
            (
                "create_entities",
                json!({"entities": [
                {"name": "a", "entityType": "actor", "observations": ["acts"]},
                {"name": "b", "entityType": "actor", "observations": []}]}),
            ),
            ("create_relations", json!({"relations": [relation]})),
            (
                "add_observations",
                json!({"observations": [{"entityName": "b", "contents": ["rests"]}]}),
            ),
            ("read_graph", json!({})),
            ("search_nodes", json!({"query": "acts"})),
            ("open_nodes", json!({"names": ["a"]})),
            (
                "delete_observations",
                json!({"deletions": [{"entityName": "b", "observations": ["rests"]}]}),
            ),
            ("delete_relations", json!({"relations": [relation]})),
            ("delete_entities", json!({"entityNames": ["a", "b"]})),
        ],
    }
}

fn python(place: &Path, name: &str, args: &[&str]) -> Reach {
    program(place.join("python/bin").join(name), args)
}

fn time(place: &Path) -> Real {
    Real {
        name: "time",
        reach: python(place, "mcp-server-time", &["--local-timezone", "UTC"]),
        protocol: Protocol::Auto,
        calls: vec![
            ("get_current_time", json!({"timezone": "UTC"})),
            (
                "convert_time",
                json!({"source_timezone": "UTC", "time": "12:00",
                "target_timezone": "UTC"}),
            ),
        ],
    }
}

fn git(place: &Path, directory: &Path) -> Real {
    let repository = directory.join("repository");
    std::fs::create_dir_all(&repository).expect("there is room for it");
    let git = |args: &[&str]| {
        let ran = Command::new("git").args(args).current_dir(&repository).output();
        assert!(ran.expect("there is git").status.success(), "{args:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["config", "user.name", "Tester"]);
    git(&["config", "user.email", "tester@example.com"]);
    std::fs::write(repository.join("a"), "one\n").expect("it can be written");
    git(&["add", "a"]);
    git(&["commit", "-q", "-m", "one"]);
    std::fs::write(repository.join("a"), "two\n").expect("it can be written");
    let with = |more: Value| {
        let mut arguments = json!({"repo_path": repository});
        let fields = arguments.as_object_mut().expect("it is one");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        arguments
    };
    Real {
        name: "git",
        reach: python(place, "mcp-server-git", &[]),
        protocol: Protocol::Auto,
        calls: vec![
            ("git_status", with(json!({}))),
            ("git_diff_unstaged", with(json!({}))),
            ("git_add", with(json!({"files": ["a"]}))),
            ("git_diff_staged", with(json!({}))),
            ("git_commit", with(json!({"message": "two"}))),
            ("git_log", with(json!({"max_count": 2}))),
            ("git_show", with(json!({"revision": "HEAD"}))),
            ("git_create_branch", with(json!({"branch_name": "side"}))),
            ("git_checkout", with(json!({"branch_name": "side"}))),
            ("git_branch", with(json!({"branch_type": "local"}))),
            ("git_diff", with(json!({"target": "main"}))),
            ("git_reset", with(json!({}))),
        ],
    }
}

/// A page for the server that fetches them.
async fn page() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let read = socket.read(&mut request).await.unwrap_or_default();
                let is_robots = request[..read].starts_with(b"GET /robots.txt");
                let body = "<html><body><h1>Callsheet</h1><p>Hello.</p></body></html>";
                let status = if is_robots { "404 Not Found" } else { "200 OK" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: text/html\r\n\
                    content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}/")
}

fn fetch(place: &Path, url: &str) -> Real {
    Real {
        name: "fetch",
        reach: python(place, "mcp-server-fetch", &["--allow-private-ips"]),
        protocol: Protocol::Auto,
        calls: vec![("fetch", json!({"url": url}))],
    }
}

#[test]
fn every_tool_of_real_servers_answers_in_each_revision_they_know() {
    let Some(place) = place() else { return println!("skipped: no real servers") };
    run(async {
        let directory = Directory::new();
        let url = page().await;
        let mut all = vec![
            everything(&place),
            filesystem(&place, &directory.0),
            memory(&place, &directory.0),
            time(&place),
            git(&place, &directory.0),
            fetch(&place, &url),
        ];
        for older in [time(&place), fetch(&place, &url)] {
            all.push(Real { protocol: Protocol::Handshake, ..older });
        }
        let another = Directory::new();
        all.push(Real { protocol: Protocol::Handshake, ..git(&place, &another.0) });
        println!("server | revision | tools listed | called | start");
        for real in all {
            let world = World::new([real.settings()]).await;
            let status = world.servers.status().remove(0);
            assert_eq!(status.condition, Condition::Ready, "{status:?}");
            let prefix = format!("{}__", real.name);
            let mut listed = world.tools();
            listed.iter_mut().for_each(|name| *name = name.replacen(&prefix, "", 1));
            listed.sort();
            let mut planned: Vec<_> =
                real.calls.iter().map(|(tool, _)| (*tool).to_owned()).collect();
            planned.sort();
            assert_eq!(listed, planned, "{} has other tools than were known", real.name);
            for (tool, arguments) in &real.calls {
                let call = reply().call(&format!("{prefix}{tool}"), &arguments.to_string());
                let answer = world.ask([call, reply().text("done")]).await;
                let (outcome, _, text) = told(&answer.report.rounds[0].calls[0]);
                // It works only for clients that can wait for a task.
                let expected = match *tool {
                    "simulate-research-query" => ["ok", "tool_error"].contains(&outcome),
                    _ => outcome == "ok",
                };
                assert!(expected, "{} {tool}: {outcome}: {text}", real.name);
            }
            println!(
                "{} | {} | {} | {} | {} ms",
                real.name,
                status.revision.unwrap_or_default(),
                listed.len(),
                real.calls.len(),
                status.startup.unwrap_or_default().as_millis()
            );
        }
    });
}

#[test]
fn a_real_operation_that_takes_long_tells_of_its_progress_and_can_be_cancelled() {
    let Some(place) = place() else { return println!("skipped: no real servers") };
    run(async {
        let mut settings = everything(&place).settings();
        let long = settings.tool_terms.get_mut("trigger-long-running-operation");
        long.expect("it is there").silence_limit = Some(Duration::from_millis(1500));
        let world = World::new([settings]).await;
        let call = |seconds: u32| {
            let arguments = json!({"duration": seconds, "steps": seconds * 2}).to_string();
            reply().call("everything__trigger-long-running-operation", &arguments)
        };
        let answer = world.ask([call(3), reply().text("done")]).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"], "progress is a sign of life");
        let model = ScriptedModel::new([call(60), reply().text("done")]);
        let session = world.session(&model);
        let mut events = session.events();
        let began = Instant::now();
        let cancel = async {
            while let Some(record) = events.next().await {
                if let callsheet::Event::CallProgressed { message, .. } = &record.event {
                    println!("progress: {message}");
                    break;
                }
            }
            session.cancel().await;
        };
        let (asked, ()) = tokio::join!(session.ask("go"), cancel);
        assert!(asked.is_err() && began.elapsed() < Duration::from_secs(10));
        let echo = reply().call("everything__echo", r#"{"message": "still here"}"#);
        let answer = world.ask([echo, reply().text("done")]).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        assert_eq!(world.servers.status()[0].restarts, 0);
    });
}

#[test]
fn a_real_server_that_is_killed_in_the_middle_of_a_call_is_back_for_the_next() {
    let Some(place) = place() else { return println!("skipped: no real servers") };
    run(async {
        let directory = Directory::new();
        let mark = directory.0.to_string_lossy().into_owned();
        let mut real = everything(&place);
        if let Reach::Stdio(program) = &mut real.reach {
            program.args.push(mark.clone()); // To know the process by.
        }
        let mut settings = real.settings();
        let long = settings.tool_terms.get_mut("trigger-long-running-operation");
        long.expect("it is there").effects = Some(Effects::Once);
        let world = World::new([settings]).await;
        let script = [
            reply().call(
                "everything__trigger-long-running-operation",
                r#"{"duration": 60, "steps": 600}"#,
            ),
            reply().call("everything__get-sum", r#"{"a": 2, "b": 40}"#),
            reply().text("done"),
        ];
        let model = ScriptedModel::new(script);
        let session = world.session(&model);
        let mut events = session.events();
        let kill = async {
            while let Some(record) = events.next().await {
                if matches!(record.event, callsheet::Event::CallProgressed { .. }) {
                    break;
                }
            }
            let killed = Command::new("pkill").args(["-KILL", "-f", &mark]).status();
            assert!(killed.expect("there is pkill").success());
        };
        let (asked, ()) = tokio::join!(session.ask("go"), kill);
        let answer = asked.expect("the turn ends well");
        let rounds = &answer.report.rounds;
        for round in rounds {
            println!("{:?}", told(&round.calls[0]));
        }
        assert_eq!(outcomes(&rounds[0]), ["unknown_outcome"]);
        assert_eq!(told(&rounds[1].calls[0]).2, "The sum of 2 and 40 is 42.");
        let status = &world.servers.status()[0];
        println!(
            "{} restart, last failure: {}",
            status.restarts,
            status.last_failure.as_deref().unwrap_or_default()
        );
        assert_eq!(status.restarts, 1);
    });
}

#[test]
fn a_real_server_over_http_is_called_and_may_be_restarted_meanwhile() {
    let Some(place) = place() else { return println!("skipped: no real servers") };
    run(async {
        let script =
            place.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
            free.local_addr().expect("it has one").port()
        };
        let start = || {
            let mut command = tokio::process::Command::new("node");
            command.arg(&script).arg("streamableHttp").env("PORT", port.to_string());
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.kill_on_drop(true).spawn().expect("there is node")
        };
        let listens = async || {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut server = start();
        listens().await;
        let url = format!("http://127.0.0.1:{port}/mcp");
        let real = Real { reach: Reach::Http { url, headers: Vec::new() }, ..everything(&place) };
        let mut settings = real.settings();
        settings.max_message_bytes = 50_000;
        let world = World::new([settings]).await;
        let status = world.servers.status().remove(0);
        assert_eq!(status.condition, Condition::Ready, "{status:?}");
        let sum = || reply().call("everything__get-sum", r#"{"a": 2, "b": 40}"#);
        let answer = world.ask([sum(), reply().text("done")]).await;
        assert_eq!(told(&answer.report.rounds[0].calls[0]).2, "The sum of 2 and 40 is 42.");
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(60_000));
        let script = [reply().call("everything__echo", &long), sum(), reply().text("done")];
        let rounds = world.ask(script).await.report.rounds.clone();
        let (outcome, code, _) = told(&rounds[0].calls[0]);
        assert_eq!((outcome, code.as_deref()), ("tool_error", Some("too_large")));
        assert_eq!(outcomes(&rounds[1]), ["ok"]);
        assert_eq!(world.servers.status()[0].restarts, 0);
        server.kill().await.expect("it can be killed");
        let server = start();
        listens().await;
        let answer = world.ask([sum(), sum(), reply().text("done")]).await;
        let last = &answer.report.rounds[1];
        println!("over HTTP, {}: {:?}", status.revision.unwrap_or_default(), told(&last.calls[0]));
        assert_eq!(outcomes(last), ["ok"], "{:?}", answer.report);
        drop(server);
    });
}
