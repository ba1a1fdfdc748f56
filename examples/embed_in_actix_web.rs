//! Mounts the HTTP API in somebody's own actix-web app, beside their routes and under their middleware:
//!
//! ```sh
//! cargo run --example embed_in_actix_web -- --serve
//! ```
//!
//! serves until Ctrl-C: open the address that it prints, and look at `/hello`. Without `--serve` it asks
//! itself one question and ends.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Service;
use actix_web::{App, HttpResponse, HttpServer, web};
use callsheet::server::{Server, configure};
use callsheet::store::MemoryStore;
use callsheet::testing::{ScriptedModel, reply};
use callsheet::tools::{Demo, Simulation};
use callsheet::{Runtime, SessionOptions, ToolSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(run())
}

async fn run() -> std::io::Result<()> {
    // A model that follows a script stands in for `callsheet::HttpModel`.
    let script = (0..100).flat_map(|_| {
        let calls = reply().call("get_weather", r#"{"city": "Tokyo"}"#);
        [calls.call("get_weather", r#"{"city": "Oslo"}"#), reply().text("Mild in both.")]
    });
    let weather = Demo::named("get_weather").tool_type("get_weather", Simulation::default());
    let tools = Arc::new(ToolSet::new([weather]).map_err(std::io::Error::other)?);
    let options = SessionOptions::new(ScriptedModel::new(script), tools);

    // In the System that is there: no second one is started.
    let store = Arc::new(MemoryStore::keeping());
    let runtime = Runtime::builder().journal(store.clone()).in_current_system();
    let runtime = runtime.map_err(std::io::Error::other)?;
    // Without tokens it is there under this machine's own names; under others once they are said by `hosts`.
    let callsheet = Server::builder(runtime.clone(), store, options).build();
    let callsheet = callsheet.map_err(std::io::Error::other)?;

    let mounted = callsheet.clone();
    let app = move || {
        let mounted = mounted.clone();
        App::new()
            .wrap_fn(|request, service| {
                println!("{} {}", request.method(), request.path()); // Their middleware sees it all.
                service.call(request)
            })
            .route("/hello", web::get().to(|| async { HttpResponse::Ok().body("their own\n") }))
            .service(web::scope("/agent").configure(move |config| configure(config, &mounted)))
    };
    // A client that closes its request is noticed at once.
    let http = HttpServer::new(app).h1_allow_half_closed(false).workers(1);
    let http = http.bind(("127.0.0.1", 0))?;
    let addr = http.addrs()[0];
    println!("http://{addr}/agent/");
    let running = http.run();
    if std::env::args().any(|argument| argument == "--serve") {
        running.await?;
    } else {
        let handle = running.handle();
        let serving = actix_web::rt::spawn(running);
        ask(addr).await?;
        handle.stop(true).await;
        serving.await??;
    }
    callsheet.close();
    runtime.suspend(std::time::Duration::from_secs(5)).await;
    Ok(())
}

/// What any client does.
async fn ask(addr: SocketAddr) -> std::io::Result<()> {
    println!("{}", send(addr, "GET", "/hello", "", "").await?);
    send(addr, "POST", "/agent/v1/sessions", "", r#"{"id": "demo"}"#).await?;
    let question = r#"{"content": "How is the weather?"}"#;
    let path = "/agent/v1/sessions/demo/messages";
    println!("{}", send(addr, "POST", path, "prefer: wait\r\n", question).await?);
    Ok(())
}

async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.trim().to_owned())
}
