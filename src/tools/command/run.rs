//! One call of a program: what it is given, what it writes, and how it ends.

use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select, try_join};
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::timeout;

use super::launch::Launched;
use super::output::{Tail, TooMuch, read_all};
use crate::tools::{Error, binary};

/// How long what a program has written is read after its end. All who could write more are dead by then,
/// but for what has left the group and holds the pipe open.
const AFTER_THE_END: Duration = Duration::from_millis(250);

/// Waits for the end of the program, and says what came of it. Dropping the future kills its processes.
pub(super) async fn attend(
    launched: Launched,
    program: &str,
    input: Vec<u8>,
    max_bytes: usize,
) -> Result<String, Error> {
    let mut child = launched.child;
    let group = launched.group; // Dropped before the child, as there.
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) else {
        return Err(Error::lost("the pipes of the program are gone"));
    };
    let (mut bytes, mut tail) = (Vec::new(), Tail::default());
    let ended = {
        let reading = async {
            let all = read_all(&mut stdout, &mut bytes, max_bytes);
            let end = tail.read(&mut stderr).map(Ok);
            // One that writes too much is not waited for, whatever it does with the other pipe.
            try_join(all, end).await.map(|_| ())
        };
        let feeding_and_waiting = async {
            let mut feeding = pin!(feed(stdin, &input));
            let mut waiting = pin!(child.wait());
            match select(&mut feeding, &mut waiting).await {
                Either::Left(((), _)) => waiting.await,
                Either::Right((ended, _)) => ended,
            }
        };
        let (mut reading, mut ending) = (pin!(reading), pin!(feeding_and_waiting));
        match select(&mut reading, &mut ending).await {
            Either::Left((Err(TooMuch), _)) => Err(TooMuch),
            Either::Left((Ok(()), _)) => Ok(ending.await),
            Either::Right((ended, _)) => {
                // At once, for its number is free now. What it has left behind holds the pipes.
                drop(group);
                match timeout(AFTER_THE_END, reading).await {
                    Ok(Err(TooMuch)) => Err(TooMuch),
                    Ok(Ok(())) | Err(_) => Ok(ended),
                }
            }
        }
    };
    match ended {
        Ok(Ok(status)) if status.success() => Ok(result(bytes)),
        Ok(Ok(status)) => Err(failure(program, status, &tail, &bytes)),
        Ok(Err(error)) => Err(Error::lost(format!("`{program}` cannot be waited for: {error}"))),
        Err(TooMuch) => {
            let message = format!(
                "`{program}` wrote more than the {max_bytes} bytes that it may, and was ended"
            );
            Err(Error::permanent(message).code("output_too_large"))
        }
    }
}

/// Writes `input` and closes the pipe. A program that does not read all of it may do so.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

/// What was written, without the end of its last line.
fn result(bytes: Vec<u8>) -> String {
    let mut text = binary::told(bytes);
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// How a program failed: with the end of what it says of it, or else of what it wrote.
fn failure(program: &str, status: ExitStatus, complaint: &Tail, written: &[u8]) -> Error {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or("", Signal::as_str);
            format!("was ended by signal {signal} {name}").trim_end().to_owned()
        }
        (None, None) => "did not end well".to_owned(),
    };
    let (mut whence, mut said) = ("standard error", complaint.text());
    if said.is_empty() {
        let mut tail = Tail::default();
        tail.push(written);
        (whence, said) = ("standard output", tail.text());
    }
    if said.is_empty() {
        return Error::new(format!("`{program}` {how}, and said nothing"));
    }
    Error::new(format!("`{program}` {how}; the end of its {whence}:\n{said}"))
}
