//! The page, as it is in the program.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

/// What the page may do in a browser: load its own files, and speak with its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy)]
pub(super) struct File {
    pub path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! file {
    ($path:literal, $name:literal, $kind:literal) => {
        File { path: $path, kind: $kind, content: include_str!(concat!("page/", $name)) }
    };
}

macro_rules! script {
    ($path:literal, $name:literal) => {
        file!($path, $name, "text/javascript; charset=utf-8")
    };
}

/// All of them.
pub(super) const FILES: [File; 17] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/page.css", "page.css", "text/css; charset=utf-8"),
    script!("/api.js", "api.js"),
    script!("/approvals.js", "approvals.js"),
    script!("/dialogs.js", "dialogs.js"),
    script!("/dom.js", "dom.js"),
    script!("/fold.js", "fold.js"),
    script!("/lanes.js", "lanes.js"),
    script!("/news.js", "news.js"),
    script!("/page.js", "page.js"),
    script!("/session.js", "session.js"),
    script!("/sessions.js", "sessions.js"),
    script!("/sse.js", "sse.js"),
    script!("/text.js", "text.js"),
    script!("/tools.js", "tools.js"),
    script!("/turns.js", "turns.js"),
    script!("/waterfall.js", "waterfall.js"),
];

pub(super) fn answer(file: File) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, file.kind))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header(("cache-control", "no-cache"))
        .body(file.content)
}
