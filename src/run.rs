//! The only place that waits. It opens what the gateway needs, carries inputs to the control path and its outputs to the machine, and cleans up.
//!
//! The control path (`gateway.rs`) decides; the packet threads (`io/worker.rs`) carry packets; here is nothing but plumbing, in the order of a life:
//! start, loop, stop.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use rand::TryRng as _;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::config::{Config, Connection, Via};
use crate::control::{self, Answer, Command, Request, Response, TimedEvent};
use crate::events::{Event, Kind};
use crate::gateway::{Gateway, Input, Output};
use crate::io::icmp::EchoSocket;
use crate::io::lock::{ControlSocket, LockError};
use crate::io::machine::Watcher;
use crate::io::netlink::{Netlink, NetlinkError, TunnelRoute, Underlay, underlay_table};
use crate::io::nft::{self, FailClosed, NftError};
use crate::io::sockets::{IkeReaders, SocketError, Sockets, path_mtu};
use crate::io::tun::{Tun, TunError};
use crate::io::worker::{Notices, PacketThreads, WorkerError};
use crate::io::{caps, clock};
use crate::keylog::KeyLog;
use crate::log::Log;
use crate::machine::{Change, LocalEnd, Machine};
use crate::reload;
use crate::sadb::Notice;
use crate::stats::Drops;

/// Events kept for `tandem events`.
const HISTORY: usize = 1000;
/// Commands, probes' answers and followers' events that may wait.
const QUEUE: usize = 256;
/// How long a probe's socket rests after an error, so that one that persists costs next to nothing.
const HEARING_PAUSE: Duration = Duration::from_millis(100);

/// Why the gateway could not start, or ended.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each carries its own words")]
pub enum RunError {
    #[error(transparent)]
    Capabilities(#[from] caps::CapsError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Sockets(#[from] SocketError),
    #[error(transparent)]
    Tun(#[from] TunError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    FailClosed(#[from] NftError),
    #[error("the packet path stands still: {0}")]
    Worker(#[from] WorkerError),
    #[error("cannot open the probe of track {track}: {source}")]
    Probe { track: u32, source: io::Error },
    #[error(
        "a tandem runs here with the device {device}, and what keeps its traffic from leaving in clear stays: stop it first, or name its control socket"
    )]
    StillRuns { device: String },
    #[error("cannot log keys: {0}")]
    KeyLog(#[source] io::Error),
    #[error(transparent)]
    System(#[from] io::Error),
    #[error("the system has no randomness: {0}")]
    Randomness(rand::rngs::SysError),
}

/// What the command line says of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file, to be read again by a reload.
    pub config: PathBuf,
    /// Where keys are logged, if they are.
    pub keylog: Option<PathBuf>,
}

/// Runs the gateway until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start, or cannot go on.
pub fn run(config: Config, options: &Options) -> Result<(), RunError> {
    caps::check()?;
    let control = ControlSocket::bind(&config.gateway.control)?;
    // Before the first thread, for capabilities belong to threads.
    caps::keep_only_needed()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = Running::start(config, options, &control).await?;
        let outcome = running.go_on().await;
        running.stop().await;
        outcome
    })
}

/// The probes' sockets by the track's index, and the tasks that hear their answers.
type Probes = (Vec<Option<Arc<EchoSocket>>>, JoinSet<()>);

/// Everything that is open.
struct Running {
    gateway: Gateway,
    file: PathBuf,
    ends: Vec<LocalEnd>,
    machine: Machine,
    watcher: Watcher,
    netlink: Netlink,
    tun: Arc<Tun>,
    sockets: Arc<Sockets>,
    readers: IkeReaders,
    threads: PacketThreads,
    notices: Notices,
    /// By the track's index; `None` for tracks through a tunnel.
    probes: Vec<Option<Arc<EchoSocket>>>,
    /// Hear the probes' answers while they live.
    hearers: JoinSet<()>,
    answer_sink: mpsc::Sender<Input>,
    answers: mpsc::Receiver<Input>,
    commands: mpsc::Receiver<Command>,
    followers: broadcast::Sender<TimedEvent>,
    history: VecDeque<TimedEvent>,
    log: Log,
    keylog: Option<KeyLog>,
}

impl Running {
    async fn start(config: Config, options: &Options, control: &ControlSocket) -> Result<Self, RunError> {
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(RunError::Randomness)?;
        let now = clock::now();
        let drops = Arc::new(Drops::default());
        let netlink = Netlink::connect()?;
        let watcher = Watcher::open()?;
        let machine = netlink.machine().await?;
        let ends = ends(&config);

        // What must not leak is closed off first.
        let destinations = destinations(&config);
        close_off(&config, &machine)?;
        let gateway = Gateway::new(now, config, Arc::clone(&drops), seed);
        let config = gateway.config();
        let tun = Arc::new(Tun::open(&config.gateway.tun, gateway.mtu())?);
        netlink.clean_up(tun.index(), if config.gateway.fail_closed { &destinations } else { &[] }).await?;
        for &destination in &destinations {
            if config.gateway.fail_closed {
                netlink.add_unreachable(destination).await?;
            }
            netlink.add_tunnel_route(&tunnel_route(config, &machine, &tun, destination)).await?;
        }

        let sockets = Arc::new(Sockets::open(&in_use(config, &ends, &machine), None)?);
        let largest = machine.largest_mtu(&ends).max(gateway.mtu());
        let (threads, notices) = PacketThreads::start(Arc::clone(&tun), Arc::clone(&sockets), drops, largest)?;
        let readers = sockets.read_ike(notices.ike_sink())?;
        let (answer_sink, answers) = mpsc::channel(QUEUE);
        let (probes, hearers) = open_probes(&gateway, &ends, &machine, &answer_sink)?;
        let (command_sink, commands) = mpsc::channel(QUEUE);
        let (followers, _) = broadcast::channel(QUEUE);
        let listener = tokio::net::UnixListener::from_std(control.listener()?)?;
        tokio::spawn(control::serve(listener, command_sink));

        let keylog = options.keylog.as_deref().map(KeyLog::open).transpose().map_err(RunError::KeyLog)?;
        let (history, log) = (VecDeque::with_capacity(HISTORY), Log::default());
        let mut running = Self {
            gateway,
            file: options.config.clone(),
            ends,
            machine,
            watcher,
            netlink,
            tun,
            sockets,
            readers,
            threads,
            notices,
            probes,
            hearers,
            answer_sink,
            answers,
            commands,
            followers,
            history,
            log,
            keylog,
        };
        if let Some(directory) = &options.keylog {
            running.gateway.log_keys();
            let warning = format!("keys are logged to {}: whoever reads it can read the traffic", directory.display());
            running.tell(Event::new(Kind::Warning, warning));
        }
        running.keep_underlays().await;
        running.gateway.start(now, running.machine.clone());
        for warning in running.gateway.config().warnings.clone() {
            running.tell(Event::new(Kind::Warning, warning));
        }
        Ok(running)
    }

    async fn go_on(&mut self) -> Result<(), RunError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            self.carry_out();
            let due = self.gateway.poll_timeout();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => {
                    if let Err(error) = self.reload().await {
                        tracing::error!("the configuration stays as it was: {error}");
                    }
                }
                error = self.threads.failed() => return Err(error.into()),
                () = timer => self.gateway.handle_timeout(clock::now()),
                notice = self.notices.next() => self.hear(notice),
                Some(answer) = self.answers.recv() => self.gateway.handle(clock::now(), answer),
                Some(command) = self.commands.recv() => self.obey(command).await,
                change = self.watcher.next() => self.see(change?).await?,
            }
        }
    }

    /// DELETEs leave, routes are withdrawn with the TUN device; what `fail_closed` needs stays.
    async fn stop(mut self) {
        self.gateway.stop(clock::now());
        self.carry_out();
        for (underlay, _) in self.underlays() {
            if let Err(error) = self.netlink.remove_underlay(&underlay).await {
                tracing::warn!(%error, "an underlay route is left behind");
            }
        }
        self.threads.stop();
    }

    /// Carries the control path's outputs out, in order.
    fn carry_out(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                Output::Tables(tables) => self.threads.publish(tables),
                Output::Mtu(mtu) => {
                    if let Err(error) = self.tun.set_mtu(mtu) {
                        tracing::warn!(%error, mtu, "the TUN device keeps its MTU");
                    }
                }
                Output::Transmit(transmit) => {
                    if let Err(error) = self.sockets.send_ike(&transmit) {
                        // The retransmission ladder deals with it, as with any lost datagram.
                        tracing::debug!(%error, local = %transmit.local, remote = %transmit.remote, "IKE datagram not sent");
                    }
                }
                Output::Probe { track, sequence } => self.probe(track, sequence),
                Output::Inject(inject) => {
                    if !self.threads.inject(inject) {
                        tracing::debug!("an echo was not sent: the outbound thread is busy");
                    }
                }
                Output::Keys(keys) => {
                    if let Some(Err(error)) = self.keylog.as_mut().map(|keylog| keylog.write(&keys)) {
                        tracing::warn!(%error, "keys were not logged");
                    }
                }
                Output::Event(event) => self.tell(event),
            }
        }
    }

    fn probe(&self, track: usize, sequence: u16) {
        let (Some(Some(socket)), Some(config)) = (self.probes.get(track), self.gateway.config().tracks.get(track)) else { return };
        let Some(echo) = self.gateway.track_echo(track) else { return };
        if let Err(error) = socket.send(config.destination, sequence, &echo.payload(sequence)) {
            // Counts as lost when its time is over.
            tracing::debug!(%error, track = config.id, "echo not sent");
        }
    }

    fn tell(&mut self, event: Event) {
        self.log.write(clock::now(), &event);
        let event = TimedEvent::new(rfc3339(clock::wall()), event);
        // Nobody may be following.
        let _ = self.followers.send(event.clone());
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(event);
    }

    fn hear(&mut self, notice: Notice) {
        let input = match notice {
            Notice::PathMtu { path } => {
                let (local, remote) = path.addresses();
                let Some(end) = self.ends.iter().find(|e| e.address == local) else { return };
                let Ok(mtu) = path_mtu(end, remote) else { return };
                Input::PathMtu { path, mtu }
            }
            other => Input::Notice(other),
        };
        self.gateway.handle(clock::now(), input);
    }

    async fn obey(&mut self, command: Command) {
        let now = clock::now();
        let Command { request, reply } = command;
        // Before anything is done: a follower misses nothing and gets nothing twice.
        let events = self.followers.subscribe();
        let responses = match request {
            Request::Status => vec![Response::Status { status: Box::new(self.gateway.status(now)) }],
            Request::Events { .. } => self.history.iter().cloned().map(Response::Event).collect(),
            Request::Down { connection: None } => {
                for index in 0..self.gateway.config().connections.len() {
                    self.gateway.handle(now, Input::Down(index));
                }
                vec![Response::Done]
            }
            Request::Up { connection } => match self.find(&connection) {
                // Without an answer the control socket waits for the outcome.
                Ok(index) => {
                    let is_up = self.gateway.is_up(index);
                    self.gateway.handle(now, Input::Up(index));
                    if is_up { vec![Response::Done] } else { Vec::new() }
                }
                Err(message) => vec![Response::Refused { message }],
            },
            Request::Reload => vec![match self.reload().await {
                Ok(()) => Response::Done,
                Err(message) => Response::Refused { message },
            }],
            Request::Down { connection: Some(connection) } => vec![self.command(&connection, Input::Down)],
            Request::Rekey { connection } => vec![match self.find(&connection) {
                Ok(index) if !self.gateway.is_up(index) => {
                    Response::Refused { message: format!("{connection} is down, so it has no SAs to replace: `tandem up {connection}`") }
                }
                _ => self.command(&connection, Input::Rekey),
            }],
        };
        // The client may have gone.
        let _ = reply.send(Answer { responses, events });
    }

    fn command(&mut self, name: &str, input: impl FnOnce(usize) -> Input) -> Response {
        match self.find(name) {
            Ok(index) => {
                self.gateway.handle(clock::now(), input(index));
                Response::Done
            }
            Err(message) => Response::Refused { message },
        }
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let connections = &self.gateway.config().connections;
        connections.iter().position(|c| c.ike.name == name && !c.retired).ok_or_else(|| {
            let names: Vec<_> = connections.iter().filter(|c| !c.retired).map(|c| c.ike.name.as_str()).collect();
            format!("there is no connection {name:?}; there are {}", names.join(", "))
        })
    }

    /// Reads the file again and puts it in force. Whatever can be refused is tried before anything is changed.
    async fn reload(&mut self) -> Result<(), String> {
        let next = Config::load(&self.file).map_err(|errors| errors.to_string())?;
        if let Some(obstacle) = reload::obstacle(self.gateway.config(), &next) {
            return Err(obstacle);
        }
        let warnings = next.warnings.clone();
        let next = reload::arrange(&self.gateway.config().connections, next);
        let ends = ends(&next);
        let sockets = Sockets::open(&in_use(&next, &ends, &self.machine), Some(&self.sockets)).map_err(|error| error.to_string())?;
        let before = (
            destinations(self.gateway.config()),
            self.gateway.config().gateway.fail_closed,
            self.underlays().map(|(underlay, _)| underlay).collect(),
        );
        self.put_in_force(next, ends, Arc::new(sockets), before).await.map_err(|error| error.to_string())?;
        for warning in warnings {
            self.tell(Event::new(Kind::Warning, warning));
        }
        Ok(())
    }

    async fn put_in_force(
        &mut self,
        next: Config,
        ends: Vec<LocalEnd>,
        sockets: Arc<Sockets>,
        (old_destinations, was_closed, old_underlays): (Vec<IpNet>, bool, Vec<Underlay>),
    ) -> Result<(), RunError> {
        // New destinations are closed off before packets for them can come, old ones are opened after the last has gone.
        let destinations = destinations(&next);
        if let Err(error) = self.prepare(&next, &destinations).await {
            self.take_back(&next, &destinations).await;
            return Err(error);
        }
        let fail_closed = next.gateway.fail_closed;
        self.ends = ends;
        self.gateway.reload(clock::now(), next);
        // DELETEs of connections that are gone leave by the sockets they had.
        self.carry_out();
        self.use_sockets(sockets)?;
        let underlays: Vec<_> = self.underlays().map(|(underlay, _)| underlay).collect();
        for underlay in old_underlays.iter().filter(|old| !underlays.contains(old)) {
            self.netlink.remove_underlay(underlay).await?;
        }
        self.keep_underlays().await;
        for &destination in &old_destinations {
            let stays = destinations.contains(&destination);
            if !stays {
                self.netlink.remove_tunnel_route(&TunnelRoute { destination, tun: self.tun.index(), source: None }).await?;
            }
            if was_closed && !(stays && fail_closed) {
                self.netlink.remove_unreachable(destination).await?;
            }
        }
        close_off(self.gateway.config(), &self.machine)?;
        Ok(())
    }

    /// Closes off and routes the next configuration's destinations beside those in force. A foreign route may be in the way.
    async fn prepare(&self, next: &Config, destinations: &[IpNet]) -> Result<(), RunError> {
        let tables = [self.gateway.config(), next].into_iter().filter_map(|config| fail_closed(config, &self.machine));
        if let Some(table) = tables.reduce(FailClosed::beside) {
            table.install()?;
        }
        for &destination in destinations {
            if next.gateway.fail_closed {
                self.netlink.add_unreachable(destination).await?;
            }
            self.netlink.add_tunnel_route(&tunnel_route(next, &self.machine, &self.tun, destination)).await?;
        }
        Ok(())
    }

    /// Undoes [`prepare`](Self::prepare): the configuration in force stays, and so does what it closes off.
    async fn take_back(&self, next: &Config, destinations: &[IpNet]) {
        let present = self.gateway.config();
        let routed = self::destinations(present);
        for &destination in destinations {
            let stays = routed.contains(&destination);
            let route = TunnelRoute { destination, tun: self.tun.index(), source: None };
            let mut result = if stays { Ok(()) } else { self.netlink.remove_tunnel_route(&route).await };
            if next.gateway.fail_closed && !(stays && present.gateway.fail_closed) {
                result = result.and(self.netlink.remove_unreachable(destination).await);
            }
            if let Err(error) = result {
                tracing::warn!(%error, "a route of the refused configuration is left behind");
            }
        }
        if let Err(error) = close_off(present, &self.machine) {
            tracing::warn!(%error, "the destinations of the refused configuration stay closed off");
        }
    }

    /// Links or addresses have changed.
    async fn see(&mut self, change: Change) -> Result<(), RunError> {
        let before = self.machine.clone();
        if change == Change::Lost {
            match self.netlink.machine().await {
                Ok(machine) => self.machine = machine,
                // The next change brings us here again.
                Err(error) => tracing::warn!(%error, "links and addresses could not be listed"),
            }
        } else {
            self.machine.apply(change);
        }
        if self.machine == before {
            return Ok(());
        }
        // A socket is bound to an interface's index: one that was removed and made again has another.
        let index = |machine: &Machine, end: &LocalEnd| machine.link_of(end).map(|link| link.index);
        let reborn = self.ends.iter().filter(|e| e.interface.is_some()).any(|e| {
            let now = index(&self.machine, e);
            now.is_some() && now != index(&before, e)
        });
        if reborn {
            self.reopen_sockets()?;
        }
        self.keep_underlays().await;
        self.keep_sources(&before).await;
        self.gateway.handle(clock::now(), Input::Machine(self.machine.clone()));
        Ok(())
    }

    fn reopen_sockets(&mut self) -> Result<(), RunError> {
        let sockets = match Sockets::open(&in_use(self.gateway.config(), &self.ends, &self.machine), Some(&self.sockets)) {
            Ok(sockets) => Arc::new(sockets),
            Err(error) => {
                // Another interface is missing still; its return will bring us here again.
                tracing::warn!(%error, "sockets stay as they are");
                return Ok(());
            }
        };
        self.use_sockets(sockets)
    }

    fn use_sockets(&mut self, sockets: Arc<Sockets>) -> Result<(), RunError> {
        self.readers = sockets.read_ike(self.notices.ike_sink())?;
        self.threads.replace_sockets(Arc::clone(&sockets));
        self.sockets = sockets;
        (self.probes, self.hearers) = open_probes(&self.gateway, &self.ends, &self.machine, &self.answer_sink)?;
        Ok(())
    }

    /// Puts the underlay routes of `next_hop` back, which the kernel drops with the link.
    async fn keep_underlays(&self) {
        for (underlay, _) in self.underlays().filter(|(_, ready)| *ready) {
            if let Err(error) = self.netlink.add_underlay(&underlay).await {
                tracing::warn!(%error, "a connection has no way to its peer");
            }
        }
    }

    /// The underlays of `next_hop`, and whether packets can leave by each now: a rule outlives the link, so it has to be found again without.
    fn underlays(&self) -> impl Iterator<Item = (Underlay, bool)> {
        self.gateway.config().connections.iter().zip(&self.ends).enumerate().filter_map(|(index, (connection, end))| {
            let underlay = Underlay {
                local: end.address,
                remote: connection.ike.remote,
                next_hop: connection.next_hop?,
                // Without the link there is no route to find by its index either.
                interface: self.machine.link_of(end).map_or(0, |link| link.index),
                table: underlay_table(self.tun.index(), index),
            };
            Some((underlay, self.machine.is_ready(end)))
        })
    }

    /// The preferred sources of the routes towards the TUN device follow the machine's addresses.
    async fn keep_sources(&self, before: &Machine) {
        let config = self.gateway.config();
        for destination in destinations(config) {
            let route = tunnel_route(config, &self.machine, &self.tun, destination);
            if route != tunnel_route(config, before, &self.tun, destination)
                && let Err(error) = self.netlink.add_tunnel_route(&route).await
            {
                tracing::warn!(%error, "a route keeps its source address");
            }
        }
    }
}

/// What an earlier run left behind is removed: routes, rules and firewall tables of any tandem on this machine. Says what it was.
///
/// # Errors
/// If a tandem still runs here, whose traffic would leave in clear then, or the kernel refuses.
pub fn remove_leftovers() -> Result<String, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let routes = runtime.block_on(async {
        let netlink = Netlink::connect()?;
        match netlink.tunnel_in_use().await? {
            Some(device) => Err(RunError::StillRuns { device }),
            None => Ok(netlink.remove_all().await?),
        }
    })?;
    let tables = nft::remove_all()?;
    Ok(format!(
        "removed {routes} routes and {} firewall tables; traffic for the routes' destinations is not closed off any more",
        tables.len()
    ))
}

/// Where each connection's packets leave from, by the connection's index.
fn ends(config: &Config) -> Vec<LocalEnd> {
    config.connections.iter().map(|c| LocalEnd { address: c.ike.local, interface: c.interface.clone() }).collect()
}

/// The ends that need sockets: not those of retired connections, and those whose interface is missing only when it appears.
fn in_use(config: &Config, ends: &[LocalEnd], machine: &Machine) -> Vec<LocalEnd> {
    let needed = |(end, connection): &(&LocalEnd, &Connection)| !connection.retired && is_there(end, machine);
    ends.iter().zip(&config.connections).filter(needed).map(|(end, _)| end.clone()).collect()
}

fn is_there(end: &LocalEnd, machine: &Machine) -> bool {
    end.interface.as_ref().is_none_or(|name| machine.link(name).is_some())
}

/// Each `[[route]]` destination once.
fn destinations(config: &Config) -> Vec<IpNet> {
    let mut all: Vec<IpNet> = config.routes.iter().map(|r| r.destination).collect();
    all.sort();
    all.dedup();
    all
}

/// Puts the firewall table of this configuration in force; without `fail_closed` there is none.
fn close_off(config: &Config, machine: &Machine) -> Result<(), NftError> {
    match fail_closed(config, machine) {
        Some(table) => table.install(),
        None => nft::remove(&config.gateway.tun).map(drop),
    }
}

fn fail_closed(config: &Config, machine: &Machine) -> Option<FailClosed> {
    let gateway = &config.gateway;
    if !gateway.fail_closed {
        return None;
    }
    let local = config.connections.iter().flat_map(|c| &c.ike.children).map(|child| child.local.net);
    let probes = config.tracks.iter().filter_map(|t| match t.via {
        Via::Outside(c) => Some((config.connections.get(c)?.ike.local, t.destination)),
        Via::Tunnel(_) => None,
    });
    Some(FailClosed {
        tun: gateway.tun.clone(),
        destinations: destinations(config),
        exempt: local.chain(machine.connected()).collect(),
        peers: reload::peers(&config.connections).collect(),
        probes: probes.collect(),
    })
}

fn tunnel_route(config: &Config, machine: &Machine, tun: &Tun, destination: IpNet) -> TunnelRoute {
    // Inside the selectors of a connection that carries this destination, so that the gateway itself can ping through.
    let carriers = config.routes.iter().filter(|r| r.destination == destination).filter_map(|r| config.connections.get(r.connection));
    let inside: Vec<IpNet> = carriers.flat_map(|c| &c.ike.children).map(|child| child.local.net).collect();
    let outside: Vec<IpAddr> = config.connections.iter().map(|c| c.ike.local).collect();
    TunnelRoute { destination, tun: tun.index(), source: machine.preferred_source(&inside, &outside) }
}

/// One socket for each track outside the tunnel, and the tasks that hear their answers.
fn open_probes(gateway: &Gateway, ends: &[LocalEnd], machine: &Machine, sink: &mpsc::Sender<Input>) -> Result<Probes, RunError> {
    let mut probes = Vec::new();
    let mut hearers = JoinSet::new();
    for (track, config) in gateway.config().tracks.iter().enumerate() {
        let (Via::Outside(connection), Some(echo)) = (config.via, gateway.track_echo(track)) else {
            probes.push(None);
            continue;
        };
        let Some(mut end) = ends.get(connection).filter(|end| is_there(end, machine)).cloned() else {
            probes.push(None);
            continue;
        };
        end.address = config.source.unwrap_or(end.address);
        let socket = EchoSocket::open(&end, echo.id).map_err(|source| RunError::Probe { track: config.id, source })?;
        let socket = Arc::new(socket);
        let (hearing, sink, destination) = (Arc::clone(&socket), sink.clone(), config.destination);
        hearers.spawn(async move {
            loop {
                let reply = match hearing.receive().await {
                    Ok(reply) => reply,
                    Err(error) => {
                        // What the network reported (link down, ...) says nothing of the next reply; a track that heard no more would stay negative.
                        tracing::debug!(%error, "hearing echoes");
                        tokio::time::sleep(HEARING_PAUSE).await;
                        continue;
                    }
                };
                let ours = reply.from == destination && reply.payload.starts_with(&echo.payload(reply.sequence));
                if ours && sink.send(Input::ProbeReply { track, sequence: reply.sequence }).await.is_err() {
                    return;
                }
            }
        });
        probes.push(Some(socket));
    }
    Ok((probes, hearers))
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
