//! A network device: chains of a driver in, chains for it out (§3.4 to §3.6, DC-123 to DC-125).
//!
//! The rings and the memory are behind a [`Host`], which does what a ring does and says what came
//! of it. A device works on them in this order:
//!
//! 1. A wake-up of a transmit queue takes chains until there is none. Each goes back with length 0
//!    before the next is taken.
//! 2. A frame that is answered gets its buffers one by one. All but the first are filled as they
//!    are taken, the first when their number is known. Then they go back, one after another.
//! 3. At the end the transmit queue is published. The receive queue is told that no kicks are
//!    wanted, and is published.

use super::control;
use super::header::{self, About, Port, Sum};
use super::whole::Whole;
use crate::Id;
use crate::ring::{Chain, Form, Pop, PutRefusal, Stop, Token};

/// Bytes of a chain that are read: the longest header, the longest frame to be cut with eight
/// tags, and one more, which makes it too long (DC-160).
pub const READ_MAX: u64 = 32 + 65589 + 8 * 4 + 1;

/// The rings of a device and the memory around them.
pub trait Host {
    /// What kind of rings they are.
    fn form(&self) -> Form;

    /// Takes a chain of a queue.
    fn pop(&mut self, queue: usize, chain: &mut Chain) -> Pop;

    /// Takes that back.
    ///
    /// # Errors
    /// The device may not.
    fn unpop(&mut self, queue: usize, token: Token) -> Result<(), PutRefusal>;

    /// Gives a chain back, of which `len` bytes were written.
    ///
    /// # Errors
    /// The device may not.
    fn put(&mut self, queue: usize, token: Token, len: u32) -> Result<(), PutRefusal>;

    /// Shows the driver what was given back; whether it wants a call.
    ///
    /// # Errors
    /// The queue is broken.
    fn publish(&mut self, queue: usize) -> Result<bool, Stop>;

    /// Asks for kicks; whether more is available already.
    ///
    /// # Errors
    /// The queue is broken.
    fn arm(&mut self, queue: usize) -> Result<bool, Stop>;

    /// Asks for no kicks.
    ///
    /// # Errors
    /// The queue is broken.
    fn disarm(&mut self, queue: usize) -> Result<(), Stop>;

    /// Reads memory that an element of a chain describes.
    fn read(&mut self, address: u64, out: &mut [u8]);

    /// Writes it.
    fn write(&mut self, address: u64, bytes: &[u8]);
}

/// What is to be done for a queue after a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Due {
    /// The driver wants a call.
    pub call: bool,
    /// There is more to do.
    pub again: bool,
    /// The queue is broken.
    pub broken: Option<Stop>,
}

/// What became of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Chains that were taken from transmit queues.
    pub taken: u64,
    /// Those that are malformed, or have a header that is.
    pub malformed: u64,
    /// Frames that break a rule of the gateway.
    pub refused: u64,
    /// Replies that are in buffers.
    pub delivered: u64,
    /// Replies that the driver filters out.
    pub filtered: u64,
    /// Replies that there was no room for.
    pub dropped: u64,
}

/// A reply that is in buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The frame that was answered.
    pub request: Vec<u8>,
    /// The reply.
    pub reply: Vec<u8>,
    /// Buffers that it is in.
    pub buffers: usize,
    /// Where header and reply are: address and bytes of each piece, in their order.
    pub places: Vec<(u64, u64)>,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    gateway: Whole,
    /// What the driver said on the control queue.
    pub control: control::Device,
    bits: u128,
    mtu: u16,
    /// Since it was made.
    pub counters: Counters,
    /// In the last wake-up.
    pub deliveries: Vec<Delivery>,
    /// Rules that were broken in the last wake-up.
    pub broken: Vec<Id>,
}

/// What becomes of a chain that was taken.
enum Fate {
    Back(u32),
    Later,
}

/// What became of a reply.
enum Sent {
    Delivered,
    Dropped,
    Later,
}

/// A receive buffer that was taken: its token and chain, and which bytes of the frame it gets,
/// from where and how many.
type Buffer = (Token, Chain, usize, usize);

/// A receive queue in a wake-up.
struct Receiving {
    queue: Option<usize>,
    has_put: bool,
}

impl Device {
    /// A device in front of a gateway. `mtu` is that of the config space.
    #[must_use]
    pub fn new(gateway: Whole, control: control::Device, mtu: u16) -> Self {
        Self {
            gateway,
            control,
            bits: 0,
            mtu,
            counters: Counters::default(),
            deliveries: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// A reset, and then these features.
    pub fn negotiated(&mut self, bits: u128) {
        self.bits = bits;
        self.control.negotiated(bits);
    }

    /// The link takes packets of so many bytes.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
    }

    fn port(&self) -> Port {
        Port { features: self.bits, mtu: self.mtu, frame_max: 65535 + 18 }
    }

    /// A wake-up of a transmit queue; `receive` is the queue for the answers, if it can be used.
    pub fn serve(
        &mut self,
        host: &mut impl Host,
        transmit: usize,
        receive: Option<usize>,
        now: u64,
    ) -> [Due; 2] {
        self.deliveries.clear();
        self.broken.clear();
        let mut receiving = Receiving { queue: receive, has_put: false };
        let sent = drain(host, transmit, |host, chain| {
            self.counters.taken += 1;
            match chain {
                Ok(chain) => self.transmit(host, chain, &mut receiving, now),
                Err(id) => {
                    self.counters.malformed += 1;
                    self.broken.push(id);
                    Fate::Back(0)
                }
            }
        });
        let received = match receive {
            None => Due::default(),
            Some(queue) => match host.disarm(queue).and_then(|()| host.publish(queue)) {
                Ok(call) => Due { call, again: false, broken: None },
                Err(stop) => Due { broken: Some(stop), ..Due::default() },
            },
        };
        for due in [sent, received] {
            self.note_stop(host, due);
        }
        [sent, received]
    }

    fn note_stop(&mut self, host: &impl Host, due: Due) {
        if let Some(stop) = due.broken {
            self.broken.push(stop.rule(host.form()));
        }
    }

    /// A wake-up of a transmit queue that is not to be used (VU-063).
    pub fn discard(&mut self, host: &mut impl Host, transmit: usize) -> Due {
        self.deliveries.clear();
        self.broken.clear();
        let due = drain(host, transmit, |_, _| Fate::Back(0));
        self.note_stop(host, due);
        due
    }

    /// A wake-up of the control queue (NET-036, NET-037).
    pub fn command(&mut self, host: &mut impl Host, queue: usize) -> Due {
        self.deliveries.clear();
        self.broken.clear();
        let due = drain(host, queue, |host, chain| {
            let chain = match chain {
                Ok(chain) => chain,
                Err(id) => {
                    self.broken.push(id);
                    return Fate::Back(0);
                }
            };
            if chain.writable == 0 {
                self.broken.push(Id::Net(37));
                return Fate::Back(0);
            }
            // Only a table is longer than a few bytes, and what is behind a command is not read.
            let mut bytes = read(host, chain, 64);
            if bytes.starts_with(&[1, 0]) {
                bytes = read(host, chain, u64::MAX);
            }
            let answer = self.control.command(&bytes, chain.writable - 1);
            let (ack, result) = match answer {
                Ok(result) => (0, result),
                Err(id) => {
                    self.broken.push(id);
                    (1, vec![])
                }
            };
            let written = [&[ack], &result[..]].concat();
            // The result comes first, so that who sees the ack sees the result.
            write(host, chain, 1, &result);
            write(host, chain, 0, &[ack]);
            Fate::Back(u32::try_from(written.len()).unwrap_or(u32::MAX))
        });
        self.note_stop(host, due);
        due
    }

    fn transmit(
        &mut self,
        host: &mut impl Host,
        chain: &Chain,
        receiving: &mut Receiving,
        now: u64,
    ) -> Fate {
        let bytes = read(host, chain, READ_MAX);
        let sent = match header::transmit(&self.port(), &bytes, chain.writable) {
            Ok(sent) => sent,
            Err(id) => {
                self.counters.malformed += 1;
                self.broken.push(id);
                return Fate::Back(0);
            }
        };
        if sent.cut.is_some() {
            return Fate::Back(0); // DC-125
        }
        let frame = &bytes[sent.frame..];
        let reply = match self.gateway.frame(frame, sent.checksum.is_some(), now) {
            Ok(Some(reply)) => reply,
            Ok(None) => return Fate::Back(0),
            Err(id) => {
                self.counters.refused += 1;
                self.broken.push(id);
                return Fate::Back(0);
            }
        };
        if !self.control.accepts(&reply) {
            self.counters.filtered += 1;
            return Fate::Back(0);
        }
        match self.deliver(host, receiving, frame, &reply) {
            Sent::Delivered => self.counters.delivered += 1,
            Sent::Dropped => self.counters.dropped += 1,
            Sent::Later => return Fate::Later, // DC-124
        }
        Fate::Back(0)
    }

    /// Puts header and reply into buffers.
    fn deliver(
        &mut self,
        host: &mut impl Host,
        receiving: &mut Receiving,
        request: &[u8],
        reply: &[u8],
    ) -> Sent {
        let Some(queue) = receiving.queue else { return Sent::Dropped };
        let port = self.port();
        let header_len = port.header_len();
        // The header is not known before its last buffer is.
        let mut bytes = vec![0; header_len];
        bytes.extend(reply);
        let taken = match self.gather(host, queue, receiving, &bytes) {
            Ok(taken) => taken,
            Err(sent) => return sent,
        };
        let buffers = u16::try_from(taken.len()).unwrap_or(u16::MAX);
        let about = About { sum: Sum::Unknown, cut: None, joined: None, hash: None, buffers };
        let Ok(header) = header::receive(&port, reply, &about) else {
            give_up(host, queue, taken);
            return Sent::Dropped; // NET-019
        };
        bytes[..header_len].copy_from_slice(&header);
        let (_, first, start, len) = &taken[0];
        write(host, first, 0, &bytes[*start..*start + *len]);
        for (token, _, _, len) in &taken {
            let _ = host.put(queue, *token, u32::try_from(*len).unwrap_or(u32::MAX));
        }
        receiving.has_put = true;
        self.deliveries.push(Delivery {
            request: request.to_vec(),
            reply: reply.to_vec(),
            buffers: taken.len(),
            places: taken.iter().flat_map(|(_, chain, _, len)| places(chain, *len)).collect(),
        });
        Sent::Delivered
    }

    /// Takes as many buffers as these bytes need, and fills all but the first.
    fn gather(
        &mut self,
        host: &mut impl Host,
        queue: usize,
        receiving: &mut Receiving,
        bytes: &[u8],
    ) -> Result<Vec<Buffer>, Sent> {
        let merges = self.bits >> 15 & 1 == 1;
        let least = self.port().header_len() as u64;
        let mut taken: Vec<Buffer> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let mut chain = Chain::new();
            let (token, is_good) = match host.pop(queue, &mut chain) {
                Pop::Chain { token } => (token, true),
                Pop::Dropped { token, error } => {
                    self.broken.push(error.rule(host.form()));
                    (token, false)
                }
                Pop::Yield if receiving.has_put => {
                    give_up(host, queue, taken);
                    return Err(Sent::Later);
                }
                Pop::Empty | Pop::Yield | Pop::Stopped(_) => {
                    give_up(host, queue, taken);
                    return Err(Sent::Dropped);
                }
            };
            let is_short = merges && chain.writable < least;
            if !is_good || chain.readable > 0 || is_short {
                // DC-123
                for (token, ..) in taken.drain(..) {
                    let _ = host.put(queue, token, 0);
                }
                let _ = host.put(queue, token, 0);
                receiving.has_put = true;
                at = 0;
                continue;
            }
            let left = bytes.len() - at;
            let len = usize::try_from(chain.writable).map_or(left, |room| room.min(left));
            if !merges && len < left {
                let _ = host.unpop(queue, token); // NET-022, NET-026
                return Err(Sent::Dropped);
            }
            if !taken.is_empty() {
                write(host, &chain, 0, &bytes[at..at + len]);
            }
            taken.push((token, chain, at, len));
            at += len;
        }
        Ok(taken)
    }
}

/// Leaves buffers that were taken as if they had not been, the newest first.
fn give_up(host: &mut impl Host, queue: usize, taken: Vec<Buffer>) {
    for (token, ..) in taken.into_iter().rev() {
        let _ = host.unpop(queue, token);
    }
}

/// Takes chains until there is none; what is malformed has the rule that it breaks.
fn drain<H: Host>(
    host: &mut H,
    queue: usize,
    mut handle: impl FnMut(&mut H, Result<&Chain, Id>) -> Fate,
) -> Due {
    let drained = take_all(host, queue, &mut handle);
    let published = host.publish(queue);
    match (drained, published) {
        (Ok(again), Ok(call)) => Due { call, again, broken: None },
        (Err(stop), _) | (_, Err(stop)) => Due { broken: Some(stop), ..Due::default() },
    }
}

fn take_all<H: Host>(
    host: &mut H,
    queue: usize,
    handle: &mut impl FnMut(&mut H, Result<&Chain, Id>) -> Fate,
) -> Result<bool, Stop> {
    let mut chain = Chain::new();
    loop {
        let (token, is_good) = match host.pop(queue, &mut chain) {
            Pop::Chain { token } => (token, Ok(&chain)),
            Pop::Dropped { token, error } => (token, Err(error.rule(host.form()))),
            Pop::Empty if host.arm(queue)? => continue,
            Pop::Empty => return Ok(false),
            Pop::Yield => return Ok(true),
            Pop::Stopped(stop) => return Err(stop),
        };
        match handle(host, is_good) {
            Fate::Back(len) => refused(host.put(queue, token, len))?,
            Fate::Later => {
                refused(host.unpop(queue, token))?;
                return Ok(true);
            }
        }
    }
}

/// A device gives back what it took, so only a broken queue refuses it.
fn refused(put: Result<(), PutRefusal>) -> Result<(), Stop> {
    match put {
        Err(PutRefusal::Stopped(stop)) => Err(stop),
        _ => Ok(()),
    }
}

/// The readable bytes of a chain, `most` at most.
fn read(host: &mut impl Host, chain: &Chain, most: u64) -> Vec<u8> {
    let mut left = usize::try_from(chain.readable.min(most)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(left);
    for element in chain.elements.iter().filter(|element| !element.writable) {
        let len = usize::try_from(element.len).map_or(left, |len| len.min(left));
        let start = bytes.len();
        bytes.resize(start + len, 0);
        host.read(element.address, &mut bytes[start..]);
        left -= len;
    }
    bytes
}

/// Address and bytes of what the first `len` writable bytes of a chain are in.
fn places(chain: &Chain, len: usize) -> impl Iterator<Item = (u64, u64)> {
    let mut left = len as u64;
    chain.elements.iter().filter(|element| element.writable).map(move |element| {
        let here = left.min(element.len.into());
        left -= here;
        (element.address, here)
    })
}

/// Writes to a chain, from the writable byte `skip` on.
fn write(host: &mut impl Host, chain: &Chain, skip: u64, mut bytes: &[u8]) {
    let mut skip = skip;
    for element in chain.elements.iter().filter(|element| element.writable) {
        let len = u64::from(element.len);
        let over = skip.min(len);
        skip -= over;
        let room = usize::try_from(len - over).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(room);
        if !now.is_empty() {
            host.write(element.address + over, now);
        }
        bytes = later;
    }
}
