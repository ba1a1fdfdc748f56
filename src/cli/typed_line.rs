//! A line that a person types at the terminal while other things go on: whoever waits for it may stop, and
//! then nothing of it is lost to whoever reads next.

use std::io;

/// Waits for the next line on standard input, a terminal; `None` at its end.
#[cfg(unix)]
pub(super) async fn typed_line() -> io::Result<Option<String>> {
    use std::os::fd::AsFd;

    use tokio::net::unix::pipe::Receiver;

    /// No terminal hands over a longer line.
    const LONGEST: usize = 4096;

    // A terminal is no pipe, but is waited for and read like one, and gives a line at a time.
    let terminal = Receiver::from_owned_fd_unchecked(io::stdin().as_fd().try_clone_to_owned()?)?;
    terminal.readable().await?;
    let mut line = [0; LONGEST];
    let read = terminal.try_read(&mut line)?;
    let text = String::from_utf8_lossy(&line[..read]);
    Ok((read > 0).then(|| text.trim().to_owned()))
}

/// Waits for the next line on standard input, a terminal; `None` at its end.
#[cfg(not(unix))]
pub(super) async fn typed_line() -> io::Result<Option<String>> {
    let (tell, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = io::stdin().read_line(&mut text);
        let _ = tell.send(read.map(|read| (read > 0).then(|| text.trim().to_owned())));
    });
    line.await.unwrap_or(Ok(None))
}
