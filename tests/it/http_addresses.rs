//! Where tools that are HTTP endpoints must not go, in every spelling and behind every redirect.

use callsheet::testing::{self, reply};
use callsheet::tools::http::HttpTool;
use callsheet::{Effects, RoundReport, ToolType};
use serde_json::json;

use crate::support::peer::{Peer, Step, json as json_reply, response};
use crate::support::stage;

/// Hosts that are no public address, however they are written.
const BLOCKED: [&str; 87] = [
    // This machine.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "127.0.0.1.",
    "2130706433",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "127.0x1",
    "000000177.0.0.1",
    "１２７.０.０.１",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "0",
    "0x0",
    "0.0.0.0",
    "0.1.2.3",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2606:4700::5efe:127.0.0.1]",
    "[2606:4700::200:5efe:7f00:1]",
    // What a cloud tells its machines.
    "169.254.169.254",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "0xA9FEA9FE",
    "169.254.0251.254",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    // Networks of one's own.
    "10.0.0.1",
    "10.1",
    "012.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.257",
    "0300.0250.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    "[::ffff:10.0.0.1]",
    "[64:ff9b:1::10.0.0.1]",
    "[fc00::1]",
    "[fdff:ffff::1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    // What nobody should be at.
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[2001::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[ff02::1]",
];

/// Hosts that anybody may ask.
const PUBLIC: [&str; 22] = [
    "api.example.com",
    "1.1.1.1",
    "8.8.8.8",
    "134744072",
    "0x08080808",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.0.0.1",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "[2606:4700:4700::1111]",
    "[2001:4860:4860::8888]",
    "[2a00:1450::1]",
    "[64:ff9b::8.8.8.8]",
    "[::ffff:8.8.8.8]",
];

fn tool(method: &str, url: &str, allowed: &[&str]) -> Result<ToolType, String> {
    let allow_private = allowed.iter().map(|&network| network.to_owned()).collect();
    let tool = HttpTool { allow_private, ..HttpTool::new(method, url) };
    let parameters = json!({"type": "object", "properties": {}});
    let made = ToolType::http("t", "for a test", parameters, &tool);
    made.map(|made| made.effects(Effects::None)).map_err(|error| error.to_string())
}

/// Redirects from the peer at `port` of 127.0.0.1, and the code that a call they answer ends with.
fn redirects(port: u16) -> Vec<(&'static str, String, &'static str)> {
    let here = format!("127.0.0.1:{port}");
    let elsewhere = if port == u16::MAX { port - 1 } else { port + 1 };
    let private = [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "//169.254.169.254/".to_owned(),
        "\\\\169.254.169.254\\".to_owned(),
        "http://2852039166/".to_owned(),
        "http://0xa9fea9fe/".to_owned(),
        "http://[::ffff:169.254.169.254]/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://192.168.0.1/".to_owned(),
        format!("http://127.0.0.2:{port}/"),
        format!("http://0:{port}/"),
        format!("http://[::1]:{port}/"),
    ];
    let refused = [
        format!("http://localhost:{port}/"),
        format!("https://{here}/"),
        format!("http://127.0.0.1:{elsewhere}/"),
        "http://127.0.0.1/".to_owned(),
        "http://example.com/".to_owned(),
        "//example.com/".to_owned(),
        "/\\example.com/".to_owned(),
        "http:///example.com/".to_owned(),
        format!("http://{here}@example.com/"),
        format!("http://me:pw@{here}/"),
        format!("http://me@{here}/"),
        "ftp://127.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/_x".to_owned(),
        "javascript:alert(1)".to_owned(),
        "data:text/plain,x".to_owned(),
        "http://[".to_owned(),
    ];
    let statuses = ["301 x", "302 x", "303 x", "307 x", "308 x"];
    let coded = |code| move |location| (location, code);
    let all = private.into_iter().map(coded("private_address"));
    let all = all.chain(refused.into_iter().map(coded("redirect_refused"))).enumerate();
    all.map(|(index, (location, code))| (statuses[index % statuses.len()], location, code))
        .collect()
}

fn redirected(status: &str, location: &str) -> Vec<Step> {
    vec![response(status, "text/plain", &format!("location: {location}\r\n"), "")]
}

/// The round of one call of a tool at `peer`, which is the only address that it may reach. Its time is
/// the machine's: the peer does not know of any other.
async fn round(peer: &Peer, method: &str) -> RoundReport {
    tokio::time::resume();
    let made = tool(method, &format!("http://{}/", peer.addr()), &["127.0.0.1"]);
    let script = [reply().call("t", "{}"), reply().text("done")];
    let stage = stage(script, [made.expect("the tool is good").retries(2)]);
    RoundReport::clone(&stage.ask().await.report.rounds[0])
}

fn code(round: &RoundReport) -> (&'static str, &str) {
    let call = &round.calls[0];
    let outcome = call.outcome.map_or("open", |kind| kind.as_str());
    (outcome, call.error.as_ref().map_or("", |problem| &problem.code))
}

#[test]
fn no_spelling_and_no_redirect_leads_to_an_address_that_is_not_public() {
    let mut unknown = Vec::new();
    for host in BLOCKED {
        for url in [format!("http://{host}/"), format!("https://{host}:8443/x")] {
            let problem = tool("GET", &url, &[]).expect_err(host);
            if !problem.contains(" is not a public address, and `allow_private` does not name it") {
                assert!(problem.starts_with("url: no host: "), "{host}: {problem}");
                unknown.push(host);
            }
        }
    }
    unknown.dedup();
    assert_eq!(unknown, ["[fe80::1%25eth0]"], "no URL has a zone in it");

    let count = redirects(1).len();
    for index in 0..count {
        testing::run(async {
            let mut redirect = None;
            let peer = Peer::start_at(|addr| {
                let (status, location, expected) = redirects(addr.port()).swap_remove(index);
                let reply = redirected(status, &location);
                redirect = Some((location, expected));
                [reply]
            });
            let (location, expected) = redirect.unwrap();
            let round = round(&peer, "GET").await;
            assert_eq!(code(&round), ("denied", expected), "{location}");
            assert_eq!(peer.heard().len(), 1, "{location}");
        });
    }
    println!("{} addresses and {count} redirects, each blocked", BLOCKED.len());
}

#[test]
fn what_is_public_is_open_to_a_tool_and_the_rest_only_if_it_is_named() {
    for host in PUBLIC {
        let made = tool("GET", &format!("https://{host}/"), &[]);
        assert!(made.is_ok(), "{host}: {made:?}");
    }
    for host in BLOCKED.iter().filter(|host| !host.contains('%') || host.ends_with('1')) {
        let all = ["0.0.0.0/0", "::/0"];
        let made = tool("GET", &format!("http://{host}/"), &all);
        assert!(made.is_ok() || *host == "[fe80::1%25eth0]", "{host}: {made:?}");
    }
}

#[test]
fn a_name_of_this_machine_is_denied_before_anything_is_sent() {
    testing::run(async {
        tokio::time::resume();
        let peer = Peer::start([vec![json_reply("1")]]);
        let url = format!("http://localhost:{}/", peer.addr().port());
        let made = tool("GET", &url, &[]).expect("where a name leads is not known yet");
        let stage = stage([reply().call("t", "{}"), reply().text("done")], [made.retries(2)]);
        let answer = stage.ask().await;
        assert_eq!(code(&answer.report.rounds[0]), ("denied", "private_address"));
        assert_eq!(peer.heard().len(), 0);
    });
}

#[test]
fn a_redirect_within_the_origin_is_followed_if_the_request_stays_what_it_was() {
    let check = |method: &str, status: &str, location: &str, expected: Result<&str, &str>| {
        testing::run(async {
            let peer = Peer::start_at(|addr| {
                let location = location.replace("HERE", &addr.to_string());
                [redirected(status, &location), vec![json_reply("1")]]
            });
            let round = round(&peer, method).await;
            let heard = peer.heard();
            match expected {
                Ok(line) => {
                    assert_eq!(code(&round), ("ok", ""), "{location}");
                    assert_eq!(heard[1].head.lines().next(), Some(line));
                    assert_eq!(heard[1].body, heard[0].body);
                    let key = |index: usize| {
                        let mut lines = heard[index].head.lines();
                        lines.find(|line| line.starts_with("idempotency-key: ")).map(str::to_owned)
                    };
                    assert!(key(0).is_some() && key(0) == key(1));
                }
                Err(expected) => {
                    assert_eq!(code(&round), ("denied", expected), "{location}");
                    assert_eq!(heard.len(), 1);
                }
            }
        });
    };
    for status in ["301 x", "302 x", "303 x", "307 x", "308 x"] {
        check("GET", status, "/b?c=d", Ok("GET /b?c=d HTTP/1.1"));
    }
    check("GET", "302 x", "http://HERE/b#c", Ok("GET /b HTTP/1.1"));
    check("GET", "302 x", "//HERE/b", Ok("GET /b HTTP/1.1"));
    check("GET", "302 x", "b", Ok("GET /b HTTP/1.1"));
    check("GET", "302 x", "http:b", Ok("GET /b HTTP/1.1"));
    check("POST", "307 x", "/b", Ok("POST /b HTTP/1.1"));
    check("PUT", "308 x", "/b", Ok("PUT /b HTTP/1.1"));
    for status in ["301 x", "302 x", "303 x"] {
        check("POST", status, "/b", Err("redirect_refused"));
    }
}

#[test]
fn redirects_that_do_not_end_are_not_followed_for_ever() {
    testing::run(async {
        let peer = Peer::start((0..9).map(|_| redirected("302 x", "/again")));
        let round = round(&peer, "GET").await;
        assert_eq!(code(&round), ("denied", "redirect_refused"));
        assert_eq!(peer.heard().len(), 6, "the request, and five redirects");
    });
}
