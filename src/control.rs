//! The control socket: one JSON object a line, from the command to the gateway and back.
//!
//! Only the user that the gateway runs as may use it: the socket's mode says so, and the peer's credentials are checked.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::events::Event;
use crate::status::Status;

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 4096;
/// How long `tandem up` waits for an outcome.
const UP_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to say what it wants.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// The status document.
    Status,
    /// Bring a connection up.
    Up {
        /// Its name.
        connection: String,
    },
    /// Take a connection down; all of them without a name.
    Down {
        /// Its name.
        connection: Option<String>,
    },
    /// Replace a connection's SAs.
    Rekey {
        /// Its name.
        connection: String,
    },
    /// Read the configuration file again and apply the difference.
    Reload,
    /// The events kept so far, and with `follow` those to come.
    Events {
        /// Whether to go on.
        follow: bool,
    },
}

/// What the gateway answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// The status document.
    Status {
        /// It.
        status: Box<Status>,
    },
    /// It is done, or on its way.
    Done,
    /// It cannot be done.
    Refused {
        /// Why.
        message: String,
    },
    /// One event. After the last one the gateway closes the stream, unless it was asked to go on.
    Event(TimedEvent),
}

/// An event and when it happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimedEvent {
    /// RFC 3339, UTC.
    pub time: String,
    /// Its kind, as in [`crate::events::Kind`].
    pub kind: String,
    /// The connection's name.
    pub connection: Option<String>,
    /// In words.
    pub message: String,
    /// The cloud's code of a failed negotiation.
    pub code: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

impl TimedEvent {
    /// Notes when an event happened.
    pub fn new(time: String, event: Event) -> Self {
        let Event { kind, connection, message, code, advice } = event;
        let kind = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        Self { time, kind, connection, message, code, advice }
    }
}

impl fmt::Display for TimedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.time, self.kind)?;
        if let Some(connection) = &self.connection {
            write!(f, "  {connection}")?;
        }
        write!(f, "  {}", self.message)?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n    {advice}")?;
        }
        Ok(())
    }
}

/// A request on its way to the control path.
#[derive(Debug)]
pub struct Command {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes: the events kept so far come all at once; none at all for [`Request::Up`] means that it has to be awaited.
    pub reply: oneshot::Sender<Answer>,
}

/// The control path's answer.
#[derive(Debug)]
pub struct Answer {
    /// What is known now.
    pub responses: Vec<Response>,
    /// The events from this answer on: what a follower gets next, and by which an outcome is awaited.
    pub events: broadcast::Receiver<TimedEvent>,
}

/// Answers clients until the process ends. Each has a task of its own; what they ask goes through `commands`.
pub async fn serve(listener: UnixListener, commands: mpsc::Sender<Command>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let commands = commands.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_client(stream, commands).await {
                        tracing::debug!(%error, "control client");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_client(stream: UnixStream, commands: mpsc::Sender<Command>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    // Read in any case: a refusal in front of an unread request would be lost with the connection.
    tokio::time::timeout(REQUEST_PATIENCE, reader.read_line(&mut line)).await??;
    if peer != rustix::process::geteuid().as_raw() {
        let message = format!("only the owner of this gateway may control it, not user {peer}");
        return send(&mut writer, &Response::Refused { message }).await;
    }
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => return send(&mut writer, &Response::Refused { message: format!("not a request: {error}") }).await,
    };
    let follow = matches!(request, Request::Events { follow: true });
    let awaited = if let Request::Up { connection } = &request { Some(connection.clone()) } else { None };
    let (reply, answer) = oneshot::channel();
    if commands.send(Command { request, reply }).await.is_err() {
        return Ok(());
    }
    // Without an answer the gateway has ended.
    let Ok(Answer { responses, mut events }) = answer.await else { return Ok(()) };
    if let (Some(connection), true) = (awaited, responses.is_empty()) {
        let outcome = tokio::time::timeout(UP_PATIENCE, outcome(&connection, &mut events)).await.unwrap_or_else(|_| {
            let seconds = UP_PATIENCE.as_secs();
            let message = format!("{connection} is not up after {seconds} s; it is still being tried, see `tandem events`");
            Response::Refused { message }
        });
        return send(&mut writer, &outcome).await;
    }
    for response in responses {
        send(&mut writer, &response).await?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        match events.recv().await {
            Ok(event) => send(&mut writer, &Response::Event(event)).await?,
            // A client that does not keep up misses events; it must not hold the gateway back.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// How an attempt to bring a connection up ends.
async fn outcome(connection: &str, events: &mut broadcast::Receiver<TimedEvent>) -> Response {
    loop {
        match events.recv().await {
            Ok(event) if event.connection.as_deref() == Some(connection) => match event.kind.as_str() {
                "ipsec_established" | "rekeyed" => return Response::Done,
                "negotiation_failed" => return Response::Refused { message: event.to_string() },
                _ => {}
            },
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Response::Refused { message: "the gateway ends".to_owned() },
        }
    }
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Why a command could not talk to the gateway.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No gateway listens there.
    #[error("no tandem answers at {path}: {source} (is `tandem run` running, and is this its control socket?)")]
    Connect {
        /// The socket's path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the gateway stopped answering: {0}")]
    Broken(#[from] io::Error),
    /// The answer was not understood.
    #[error("the gateway's answer was not understood ({0}); is it another version?")]
    Answer(#[from] serde_json::Error),
    /// It ended without an answer.
    #[error("the gateway ended before it answered")]
    NoAnswer,
}

/// A command's end of the socket, blocking.
pub struct Client {
    reader: io::BufReader<std::os::unix::net::UnixStream>,
}

impl Client {
    /// Asks the gateway at `path`.
    ///
    /// # Errors
    /// If no gateway listens there.
    pub fn ask(path: &Path, request: &Request) -> Result<Self, ClientError> {
        use io::Write;
        let connect = |source| ClientError::Connect { path: path.display().to_string(), source };
        let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(connect)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        Ok(Self { reader: io::BufReader::new(stream) })
    }

    /// The next answer; `None` after the last one.
    ///
    /// # Errors
    /// If the connection broke or the answer is not understood.
    pub fn next_answer(&mut self) -> Result<Option<Response>, ClientError> {
        let mut line = String::new();
        if io::BufRead::read_line(&mut self.reader, &mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// Asks and returns the one answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask) and [`next_answer`](Self::next_answer).
    pub fn ask_once(path: &Path, request: &Request) -> Result<Response, ClientError> {
        Self::ask(path, request)?.next_answer()?.ok_or(ClientError::NoAnswer)
    }
}
