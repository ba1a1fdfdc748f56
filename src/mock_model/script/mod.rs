//! Replies from a file, to test an agent against known answers and known faults.
//!
//! A script is TOML: one `[[reply]]` for each assistant message of a conversation, in order.
//!
//! ```toml
//! on_end = "error"                # after the last reply: HTTP 500, or "repeat" it
//!
//! [[reply]]                       # the first two requests of a conversation fail …
//! status = 429
//! times = 2
//! headers = { retry-after = "0" }
//! body = { error = { message = "slow down", type = "rate_limit_exceeded" } }
//!
//! [[reply]]                       # … and the third is answered with two calls
//! text = "Let me look."
//! calls = [
//!     { name = "get_weather", arguments = { city = "Tokyo" } },
//!     { name = "get_weather", raw = '{"city": "Par', id = "call_broken" },
//! ]
//!
//! [[reply]]                       # once the stream breaks after two tokens …
//! text = "It is 71 °F"
//! cut_after = 2
//! times = 1
//!
//! [[reply]]                       # … and the next attempt goes well, slowly
//! text = "It is 71 °F in Tokyo."
//! delay_ms = 20
//! token_delay_ms = 5
//! finish = "length"
//! usage = { prompt_tokens = 10, completion_tokens = 6 }
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `text` | what the assistant says |
//! | `calls` | the tools it calls: `name`, and `arguments` (a table) or `raw` (text sent as it is); `id` in place of `call_1`, `call_2`, … |
//! | `delay_ms` | time before the first token, or before an HTTP error |
//! | `token_delay_ms` | time for each token, in place of the server's pace; not streamed, all of them together |
//! | `cut_after` | the connection breaks after so many tokens (a word, the opening of a call, 12 bytes of arguments); not streamed, half the body is lost |
//! | `finish` | the finish reason, in place of `stop` or `tool_calls` |
//! | `usage` | `prompt_tokens` and `completion_tokens`, in place of an estimate |
//! | `status` | an HTTP response of this status in place of a message; it goes with `headers`, `body` (text, or a table sent as JSON), `delay_ms` and `times` only |
//! | `times` | only the first so many requests *at this point of the conversation* get this reply, later ones the next; 1 for a `status`, for others without limit |
//!
//! The server keeps no conversation. Which reply is due follows from the history it is sent: as
//! many assistant messages as it holds, so many replies without `times` are behind it. So any number
//! of conversations may run at once, and a request sent again gets the same reply again. Only
//! `times` is counted, for each history apart: two conversations of the same words count as one.

mod file;
mod player;

pub(super) use player::Player;

use super::reply::Answer;

/// A script that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    points: Vec<Point>,
    on_end: OnEnd,
}

/// What may be said at one point of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
struct Point {
    /// First these, each to so many requests.
    passing: Vec<(u64, Answer)>,
    /// Then this one. Only the last point may lack it.
    lasting: Option<Answer>,
}

/// What follows the last reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnEnd {
    #[default]
    Error,
    Repeat,
}

/// A script that cannot be read: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line of the script, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Script {
    /// Reads a script: TOML, one `[[reply]]` for each assistant message of a conversation.
    ///
    /// A reply has `text`, `calls` (each `name`, `arguments` or `raw`, `id`), `delay_ms`,
    /// `token_delay_ms`, `cut_after`, `finish` and `usage`; or, for an HTTP error, `status`,
    /// `headers`, `body` and `delay_ms`. With `times = n` only the first n requests at that point
    /// get it. `on_end` at the top is `"error"` or `"repeat"`.
    ///
    /// # Errors
    /// Names the line of the first thing that cannot be understood, an unknown field included.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        file::parse(text)
    }
}
