//! The command line: what people type, and what they read.
//!
//! Exit status: 0 fine, 1 the thing asked for failed, 2 wrong usage or configuration.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, DEFAULT_CONTROL};
use crate::control::{Client, ClientError, Request, Response};
use crate::status::Status;
use crate::{check, psk, run};

/// A userspace IPsec gateway: an active/standby pair of IKEv1 site-to-site tunnels.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, propagate_version = true, about, long_about = None, after_help = "Exit status: 0 fine, 1 the thing asked for failed, 2 wrong usage or configuration.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in the foreground until SIGTERM or SIGINT
    Run {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// How the log is written to standard error
        #[arg(long, value_enum, default_value = "plain")]
        log_format: LogFormat,
        /// Log the keys of every SA in Wireshark's files: whoever reads the directory can read the traffic
        #[arg(long, value_name = "DIR")]
        keylog: Option<PathBuf>,
    },
    /// Check a configuration file and say what it means
    Check {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show connections, tracks, routes and drops
    Status {
        #[command(flatten)]
        target: Target,
        /// As one JSON document
        #[arg(long)]
        json: bool,
        /// Again every second until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Bring a connection up and wait until it is
    Up {
        #[command(flatten)]
        target: Target,
        /// The connection
        name: String,
    },
    /// Take a connection down
    Down {
        #[command(flatten)]
        target: Target,
        /// The connection
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<String>,
        /// All of them; and if the gateway does not run, remove what it left behind so that protected traffic stays closed off
        #[arg(long)]
        all: bool,
    },
    /// Replace a connection's SAs by new ones without a gap
    Rekey {
        #[command(flatten)]
        target: Target,
        /// The connection
        name: String,
    },
    /// Read the configuration file again; what did not change keeps its SAs and loses no packet (SIGHUP does the same)
    Reload {
        #[command(flatten)]
        target: Target,
    },
    /// Show what happened
    Events {
        #[command(flatten)]
        target: Target,
        /// Go on as things happen
        #[arg(long, short)]
        follow: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a random 16-character pre-shared key from the cloud's alphabet
    Psk,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// One readable line for each event
    Plain,
    /// One JSON object for each event
    Json,
}

/// Which running gateway is meant.
#[derive(Debug, Args)]
struct Target {
    /// Its control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Its configuration file, which names the control socket
    #[arg(short, long, value_name = "FILE", conflicts_with = "control")]
    config: Option<PathBuf>,
}

/// Why a command ends with a status other than 0.
enum Failure {
    /// 1: the thing asked for failed.
    Failed(String),
    /// 2: wrong usage or configuration.
    Usage(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { config, log_format, keylog } => run_gateway(run::Options { config, keylog }, log_format),
        Command::Check { config } => check_file(&config),
        Command::Status { target, json, watch } => show_status(&target, json, watch),
        Command::Up { target, name } => target.socket().and_then(|socket| done(&socket, &Request::Up { connection: name })),
        Command::Down { target, name, all: _ } => down(&target, name),
        Command::Rekey { target, name } => target.socket().and_then(|socket| done(&socket, &Request::Rekey { connection: name })),
        Command::Reload { target } => target.socket().and_then(|socket| done(&socket, &Request::Reload)),
        Command::Events { target, follow, json } => show_events(&target, follow, json),
        Command::Psk => psk::random().and_then(|key| print(&key)).map_err(Failure::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has read enough.
        Err(Failure::Failed(message)) if message == io::Error::from(io::ErrorKind::BrokenPipe).to_string() => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => complain(&message, 1),
        Err(Failure::Usage(message)) => complain(&message, 2),
    }
}

fn complain(message: &str, status: u8) -> ExitCode {
    let written = writeln!(io::stderr().lock(), "tandem: {}", message.trim_end());
    // Without a standard error there is nobody to tell.
    drop(written);
    ExitCode::from(status)
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.trim_end())
}

fn run_gateway(options: run::Options, format: LogFormat) -> Result<(), Failure> {
    let config = load(&options.config)?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("TANDEM_LOG").unwrap_or_else(|_| "info".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Plain => subscriber.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    run::run(config, &options).map_err(|error| Failure::Failed(error.to_string()))
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|errors| Failure::Usage(errors.to_string()))
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let report = check::run(path);
    if report.usable { Ok(print(&report.text)?) } else { Err(Failure::Usage(report.text)) }
}

fn show_status(target: &Target, json: bool, watch: bool) -> Result<(), Failure> {
    let socket = target.socket()?;
    loop {
        let status = status(&socket)?;
        let text = if json { serde_json::to_string_pretty(&status).map_err(io::Error::from)? } else { status.to_text() };
        if watch && io::stdout().is_terminal() {
            // Clear the screen and go to its top (ECMA-48).
            write!(io::stdout().lock(), "\x1b[2J\x1b[H")?;
        }
        print(&text)?;
        if !watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn status(socket: &Path) -> Result<Status, Failure> {
    match Client::ask_once(socket, &Request::Status)? {
        Response::Status { status } => Ok(*status),
        Response::Refused { message } => Err(Failure::Failed(message)),
        _ => Err(Failure::Failed("the gateway answered something else".to_owned())),
    }
}

fn done(socket: &Path, request: &Request) -> Result<(), Failure> {
    match Client::ask_once(socket, request)? {
        Response::Done => Ok(()),
        Response::Refused { message } => Err(Failure::Failed(message)),
        _ => Err(Failure::Failed("the gateway answered something else".to_owned())),
    }
}

fn down(target: &Target, name: Option<String>) -> Result<(), Failure> {
    let socket = target.socket()?;
    let all = name.is_none();
    match done(&socket, &Request::Down { connection: name }) {
        Err(Failure::Failed(_)) if all && std::os::unix::net::UnixStream::connect(&socket).is_err() => {
            let removed = run::remove_leftovers().map_err(|error| Failure::Failed(error.to_string()))?;
            Ok(print(&removed)?)
        }
        outcome => outcome,
    }
}

fn show_events(target: &Target, follow: bool, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(&target.socket()?, &Request::Events { follow })?;
    while let Some(response) = client.next_answer()? {
        match response {
            Response::Event(event) if json => print(&serde_json::to_string(&event).map_err(io::Error::from)?)?,
            Response::Event(event) => print(&event.to_string())?,
            Response::Refused { message } => return Err(Failure::Failed(message)),
            _ => {}
        }
    }
    Ok(())
}

impl Target {
    fn socket(&self) -> Result<PathBuf, Failure> {
        match (&self.control, &self.config) {
            (Some(control), _) => Ok(control.clone()),
            (None, Some(config)) => Ok(load(config)?.gateway.control),
            (None, None) => Ok(PathBuf::from(DEFAULT_CONTROL)),
        }
    }
}
