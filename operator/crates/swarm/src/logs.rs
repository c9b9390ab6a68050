//! The end of a task's log, read through the manager.
//!
//! Guarantees: bounded in lines, bytes and time. A manager waits without end for the log of a
//! task on a dead node (moby #37336), so a log that does not end in time is given as far as it came.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::client::Swarm;
use crate::error::{Error, ErrorKind};

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// Both streams in the order in which they came; what is not UTF-8 is replaced.
    pub text: String,
    /// Did the log end before the time did?
    pub complete: bool,
}

impl Swarm {
    /// The last `lines` lines of a task's log, at most `max_bytes` from its end.
    ///
    /// # Errors
    /// The Engine refuses (the task is gone, the log driver cannot be read), or nothing came
    /// within `limit`.
    pub async fn task_log_tail(
        &self,
        task_id: &str,
        lines: u32,
        max_bytes: usize,
        limit: Duration,
    ) -> Result<LogTail, Error> {
        let deadline = Instant::now() + limit;
        let address = self.inner.config.address.to_string();
        let read = async |connection: std::sync::Arc<crate::client::Connection>| {
            let options = LogsOptions {
                stdout: true,
                stderr: true,
                tail: lines.to_string(),
                ..Default::default()
            };
            let mut log = std::pin::pin!(connection.docker.task_logs(task_id, Some(options)));
            let mut tail = VecDeque::new();
            loop {
                match timeout_at(deadline, log.next()).await {
                    Ok(Some(Ok(output))) => keep_end(&mut tail, output, max_bytes),
                    Ok(Some(Err(error))) => return Err(ErrorKind::from_bollard(&address, error)),
                    Ok(None) => return Ok(finish(tail, true)),
                    Err(_) if tail.is_empty() => return Err(ErrorKind::Timeout(address.clone())),
                    Err(_) => return Ok(finish(tail, false)),
                }
            }
        };
        // The call's own limit only has to cover connecting: `read` ends by itself.
        self.inner
            .call("task_logs", limit + Duration::from_secs(1), read)
            .await
    }
}

fn keep_end(tail: &mut VecDeque<u8>, output: LogOutput, max_bytes: usize) {
    tail.extend(output.into_bytes());
    let surplus = tail.len().saturating_sub(max_bytes);
    tail.drain(..surplus);
}

/// Cutting may have split a character: its remains are no text.
fn finish(tail: VecDeque<u8>, complete: bool) -> LogTail {
    let mut bytes = Vec::from(tail);
    let broken = bytes
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xC0 == 0x80)
        .count();
    bytes.drain(..broken);
    LogTail {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_no_half_character() {
        let mut tail = VecDeque::new();
        for part in ["first\n", "zwölf ", "ä\n"] {
            keep_end(
                &mut tail,
                LogOutput::StdErr {
                    message: part.into(),
                },
                7,
            );
        }
        // The last 7 bytes begin with the second half of `ö`.
        let text = finish(tail, true).text;
        assert_eq!(text, "lf ä\n");
    }
}
