//! Two endpoints and a hostile network, led by the bytes.
//!
//! The bytes choose the configuration, how far the handshake gets undisturbed, and then what happens: datagrams are lost, copied, damaged,
//! held back; what was recorded is sent again to either end, changed; others send what they like, with the right cookies; the owners of the
//! ends give orders, or lose everything in a restart. Then the network heals, and traffic must flow again within a bound.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use tandem_ike::{ConnectionConfig, Dpd, Group, NatTraversal, Psk, Start};

use crate::pair::{A, B, CONN, Datagram, Fate, Pair, config_a, millis, mirror, secs};

/// The longest script: what it shows, a shorter one shows too.
const MOST_STEPS: usize = 96;
/// Longer pauses than DPD, a ladder and a pause between attempts have no new meaning.
const PAUSES: [u64; 8] = [1, 10, 60, 400, 1_500, 5_000, 31_000, 61_000];
/// A whole ladder, the longest pause between attempts, DPD's timeout, and then a handshake.
const HEALS_WITHIN: Duration = Duration::from_secs(200);

/// Plays the script.
pub fn session(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let Ok(mut play) = Play::new(&mut script) else { return };
    for _ in 0..MOST_STEPS {
        if script.is_empty() || play.step(&mut script).is_err() {
            break;
        }
        assert!(play.pair.sides.iter().all(|side| side.pairs.len() <= 34), "the number of SAs is bounded: {}", play.pair.story());
    }
    play.heal();
}

/// What becomes of the next datagram that an end sends.
enum Plan {
    Deliver,
    Lose,
    Copy,
    Hold(Duration),
    Flip { at: usize, with: u8 },
    Cut(usize),
}

struct Play {
    pair: Pair,
    configs: [ConnectionConfig; 2],
    plans: Rc<RefCell<VecDeque<Plan>>>,
    /// Datagrams that came from elsewhere.
    injected: usize,
    /// Orders of the owners.
    orders: usize,
    /// An end that never begins was closed. If its DELETE is lost, nothing but its owner or the other one can tell that the SAs are gone.
    closed_passive: bool,
}

impl Play {
    fn new(script: &mut Unstructured<'_>) -> Result<Self> {
        let (choice, undisturbed): (u8, u8) = (script.arbitrary()?, script.arbitrary()?);
        let bit = |n: u8| choice & 1 << n != 0;
        let lifetime = |short| if bit(4) { secs(short) } else { secs(86_400) };
        let a = ConnectionConfig {
            pfs: bit(0).then_some(Group::Modp1024),
            nat_traversal: match (bit(1), bit(2)) {
                (true, _) => NatTraversal::Auto,
                (false, true) => NatTraversal::Force,
                (false, false) => NatTraversal::Off,
            },
            esp_lifetime: lifetime(60),
            ike_lifetime: lifetime(90),
            psk_next: bit(5).then(|| Psk::new("the next key")),
            dpd: Some(Dpd { delay: secs(5), timeout: secs(15) }),
            ..config_a()
        };
        let b = ConnectionConfig { start: if bit(3) { Start::Always } else { Start::Passive }, ..mirror(&a) };
        let mut pair = Pair::new(a.clone(), b.clone());
        let plans = Rc::new(RefCell::new(VecDeque::new()));
        let planned = Rc::clone(&plans);
        pair.rule = Box::new(move |datagram| fate(planned.borrow_mut().pop_front(), datagram));
        pair.connect(A);
        let undisturbed = usize::from(undisturbed % 12);
        pair.run_until(secs(2), |pair| pair.log.len() >= undisturbed);
        Ok(Self { pair, configs: [a, b], plans, injected: 0, orders: 0, closed_passive: false })
    }

    fn step(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        match script.arbitrary::<u8>()? % 16 {
            0 => self.plan(Plan::Lose),
            1 => self.plan(Plan::Copy),
            2 => self.plan(Plan::Deliver),
            3 => {
                let pause = pause(script)?;
                self.plan(Plan::Hold(pause));
            }
            4 => {
                let (at, with): (u16, u8) = script.arbitrary()?;
                self.plan(Plan::Flip { at: at.into(), with });
            }
            5 => {
                let len: u16 = script.arbitrary()?;
                self.plan(Plan::Cut(len.into()));
            }
            6..=8 => self.pair.run(pause(script)?),
            9 | 10 => self.recorded_again(script)?,
            11 => self.forged(script)?,
            12 => self.noise(script)?,
            13 | 14 => self.order(script)?,
            _ => {
                let side = side(script)?;
                self.pair.esp(side, 0);
            }
        }
        Ok(())
    }

    fn plan(&mut self, plan: Plan) {
        self.plans.borrow_mut().push_back(plan);
    }

    /// A recorded datagram to either end, its own sender included, with a few bytes changed, from the peer or a stranger.
    fn recorded_again(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let Some(datagram) = self.recorded(script)? else { return Ok(()) };
        let mut payload = datagram.payload.clone();
        for _ in 0..script.arbitrary::<u8>()? % 4 {
            let (at, value): (u16, u8) = script.arbitrary()?;
            if let Some(byte) = payload.get_mut(usize::from(at)) {
                *byte = value;
            }
        }
        let (to, stranger) = (side(script)?, script.arbitrary::<u8>()? % 4 == 0);
        self.inject(to, datagram.local.port(), stranger, payload);
        Ok(())
    }

    /// A clear or pretended message with the cookies of a recorded one, as they are or changed about.
    fn forged(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let Some(datagram) = self.recorded(script)? else { return Ok(()) };
        let (swap, exchange, first, flags): (u8, u8, u8, u8) = script.arbitrary()?;
        let message_id: u32 = script.arbitrary()?;
        let len = usize::from(script.arbitrary::<u8>()?) * 2;
        let body = script.bytes(len.min(script.len()))?;
        let Some((initiator, responder)) = datagram.message().get(..16).map(|cookies| cookies.split_at(8)) else { return Ok(()) };
        let (one, other) = match swap % 4 {
            0 | 1 => (initiator, responder),
            2 => (responder, initiator),
            _ => (initiator, &[0; 8][..]),
        };
        let exchange = [2, 5, 32, exchange][usize::from(exchange >> 6)];
        let mut payload = if datagram.local.port() == 4500 { vec![0; 4] } else { Vec::new() };
        payload.extend_from_slice(one);
        payload.extend_from_slice(other);
        payload.extend([first % 22, 0x10, exchange, flags & 1]);
        payload.extend(if flags & 2 == 0 { message_id.to_be_bytes() } else { [0; 4] });
        payload.extend((28 + body.len() as u32).to_be_bytes());
        payload.extend_from_slice(body);
        let to = side(script)?;
        self.inject(to, datagram.local.port(), false, payload);
        Ok(())
    }

    /// Anything, to either port.
    fn noise(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let (to, choice) = (side(script)?, script.arbitrary::<u8>()?);
        let len = usize::from(script.arbitrary::<u8>()?);
        let payload = script.bytes(len.min(script.len()))?.to_vec();
        self.inject(to, if choice & 1 == 0 { 500 } else { 4500 }, choice & 2 == 0, payload);
        Ok(())
    }

    fn order(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let side = side(script)?;
        let config = self.configs[side].clone();
        self.orders += 1;
        match script.arbitrary::<u8>()? % 8 {
            0 => self.pair.connect(side),
            1 => {
                self.closed_passive |= self.configs[side].start == Start::Passive;
                self.pair.act(side, |endpoint, now| endpoint.close(now, CONN));
            }
            2 => self.pair.act(side, |endpoint, now| endpoint.rekey(now, CONN)),
            3 => self.pair.act(side, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1)))),
            4 => self.pair.act(side, |endpoint, now| endpoint.acquire(now, CONN, 0)),
            5 => self.pair.act(side, |endpoint, now| endpoint.configure(now, CONN, config)),
            6 => self.pair.restart(side, config),
            _ => self.pair.act(side, |endpoint, now| endpoint.esp_unknown_spi(now, CONN)),
        }
        Ok(())
    }

    fn recorded(&self, script: &mut Unstructured<'_>) -> Result<Option<Datagram>> {
        let back = usize::from(script.arbitrary::<u8>()?);
        let log = &self.pair.log;
        Ok(if log.is_empty() { None } else { log.get(log.len() - 1 - back % log.len()).cloned() })
    }

    fn inject(&mut self, to: usize, port: u16, stranger: bool, payload: Vec<u8>) {
        let config = &self.configs[to];
        let source: IpAddr = if stranger { IpAddr::from([192, 0, 2, 66]) } else { config.remote };
        let (source, destination) = (SocketAddr::new(source, port), SocketAddr::new(config.local, port));
        self.injected += 1;
        self.pair.inject(to, source, destination, payload, millis(1));
    }

    /// Nothing disturbs any more, and whoever is to keep the tunnel up is told so.
    fn heal(mut self) {
        self.pair.rule = Box::new(|_| Fate::Deliver);
        self.pair.connect(A);
        if self.configs[B].start == Start::Always {
            self.pair.connect(B);
        }
        // What was held back still arrives, and may complete what the other end has closed since.
        self.pair.run(secs(1));
        if self.closed_passive {
            self.pair.act(A, |endpoint, now| endpoint.renew(now, CONN, Some(secs(1))));
        }
        let up = self.pair.run_until(HEALS_WITHIN, Pair::is_up);
        assert!(up.is_some(), "the tunnel comes up again: {}", self.pair.story());
        assert!(self.pair.flows(), "traffic flows: {}", self.pair.story());
        self.assert_no_flood();
    }

    /// No input makes more than a few datagrams, and no clock more than a few a second.
    fn assert_no_flood(&self) {
        let seconds = (self.pair.now - self.pair.start).as_secs() as usize;
        let (sent, bound) = (self.pair.log.len(), 100 + 6 * self.injected + 20 * self.orders + 4 * seconds);
        assert!(sent <= bound, "{sent} datagrams, at most {bound}: {}", self.pair.story());
    }
}

fn fate(plan: Option<Plan>, datagram: &Datagram) -> Fate {
    let mut payload = datagram.payload.clone();
    match plan {
        None | Some(Plan::Deliver) => return Fate::Deliver,
        Some(Plan::Lose) => return Fate::Drop,
        Some(Plan::Copy) => return Fate::Copies(2),
        Some(Plan::Hold(span)) => return Fate::Delay(span),
        Some(Plan::Flip { at, with }) => {
            let at = at % payload.len();
            payload[at] ^= with;
        }
        Some(Plan::Cut(len)) => payload.truncate(len % payload.len()),
    }
    Fate::Replace(payload)
}

fn side(script: &mut Unstructured<'_>) -> Result<usize> {
    Ok(if script.arbitrary::<u8>()? & 1 == 0 { A } else { B })
}

fn pause(script: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(millis(PAUSES[usize::from(script.arbitrary::<u8>()?) % PAUSES.len()]))
}

/// From every state: a loss, a damaged and a repeated message, a forgery, a restart, orders from both ends.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let scripts: [&[u8]; 8] = [
        &[0, 7, 2, 1, 6, 3, 3, 4, 6, 5],
        &[4, 0, 40, 0xff, 7, 3, 5, 0, 30, 7, 4, 8, 5],
        &[9, 0, 1, 19, 0, 32, 0, 1, 8, 2, 9, 3, 0, 1, 1],
        &[11, 0, 0, 64, 12, 0, 1, 2, 3, 4, 4, 0, 0, 0, 1, 0, 8, 1],
        &[12, 0, 1, 5, 1, 2, 3, 4, 5, 6, 2],
        &[13, 1, 6, 6, 5, 13, 0, 2, 13, 1, 2, 8, 3],
        &[15, 0, 13, 0, 1, 0, 6, 2, 13, 1, 0, 7, 4],
        &[13, 0, 3, 1, 13, 1, 3, 0, 6, 5, 15, 1, 14, 0, 5],
    ];
    let mut seeds = Vec::new();
    for (n, script) in scripts.iter().enumerate() {
        for undisturbed in 0..12 {
            let choice = (n as u8).wrapping_mul(37) ^ undisturbed << 3;
            seeds.push([&[choice, undisturbed], *script].concat());
        }
    }
    seeds
}
