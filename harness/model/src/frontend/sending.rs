//! What a strict front-end may send on the main channel (spec §3), and when. Of the replies only
//! the offers are modelled: a postcopy table stays unanswered, and no transfer ends.

use crate::vhost_user::{Context, message, number};
use crate::{Id, Verdict};

/// Which features open a request: whose bits, which bit, and the rule.
enum Gate {
    /// A virtio bit that was offered.
    Offered(u64, u16),
    /// A virtio bit that was chosen.
    Chosen(u64, u16),
    /// A protocol bit that was offered.
    OfferedProtocol(u64, u16),
    /// A protocol bit that was chosen.
    Protocol(u64, u16),
    Postcopy,
    Open,
}

/// A region: guest address, size, user address.
type Region = (u128, u128, u128);

/// What a front-end knows.
#[derive(Clone, Debug)]
pub struct Sender {
    queues: u64,
    max_regions: usize,
    offered: u64,
    chosen: Option<u64>,
    offered_protocol: u64,
    protocol: u64,
    owned: bool,
    exported: Vec<[u8; 16]>,
    regions: Vec<Region>,
    /// Bytes of the log.
    log: Option<u64>,
    /// Ring and size, as they were sent.
    ring_sizes: Vec<(u64, u64)>,
    postcopy: Postcopy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Postcopy {
    Off,
    Advised,
    Listening,
    TableSent,
}

impl Sender {
    /// A front-end of a device with so many rings, that keeps so many regions. Virtio and
    /// protocol features were offered, but not chosen; the back-end exports these objects.
    #[must_use]
    pub fn new(
        queues: u64,
        max_regions: usize,
        offered: u64,
        offered_protocol: u64,
        exported: Vec<[u8; 16]>,
    ) -> Self {
        Self {
            queues,
            max_regions,
            offered,
            chosen: None,
            offered_protocol,
            protocol: 0,
            owned: false,
            exported,
            regions: Vec::new(),
            log: None,
            ring_sizes: Vec::new(),
            postcopy: Postcopy::Off,
        }
    }

    fn has(&self, bit: u64) -> bool {
        self.protocol >> bit & 1 == 1
    }

    fn chose(&self, bit: u64) -> bool {
        self.chosen.is_some_and(|bits| bits >> bit & 1 == 1)
    }

    fn context(&self) -> Context {
        Context { xen_mmap: self.has(17), log_shmfd: self.has(1), ..Context::default() }
    }

    /// Judges a request with so many descriptors; tells whether a reply follows.
    #[must_use]
    pub fn judge(&self, bytes: &[u8], fds: usize) -> Verdict<bool> {
        match self.verdict(bytes, fds) {
            Ok(()) => Verdict::Accept(self.has_reply(bytes)),
            Err(id) => Verdict::Reject(id),
        }
    }

    fn verdict(&self, bytes: &[u8], fds: usize) -> Result<(), Id> {
        let context = self.context();
        if let Verdict::Reject(id) = message::judge(context, bytes, fds) {
            let is_short = fds < message::natural_fds(context, bytes);
            return Err(if id == Id::Vu(20) && is_short { Id::Vu(31) } else { id });
        }
        let (code, body) = (number(bytes, 0, 4), &bytes[12..]);
        self.gate(code)?;
        let asks = number(bytes, 4, 4) / 8 % 2 == 1;
        let keeps_acks = code != 16 || number(body, 0, 8) / 8 % 2 == 1;
        if asks && !(self.has(3) && keeps_acks) {
            return Err(Id::Vu(35));
        }
        let listens = matches!(self.postcopy, Postcopy::Listening | Postcopy::TableSent);
        match code {
            5 if asks && listens => Err(Id::Vu(132)),
            2 if number(body, 0, 8) & !self.offered != 0 => Err(Id::Vu(40)),
            16 => self.protocol_features(number(body, 0, 8)),
            4 => Err(Id::Vu(55)),
            5 => self.table(body),
            6 => self.log_base(body),
            9 => self.addresses(body),
            8 | 10 | 11 | 18 | 23 | 35 | 45 => {
                self.ring(code, number(body, 0, 4), number(body, 4, 4))
            }
            12..=14 => self.ring(code, number(body, 0, 1), 0),
            22 => self.iotlb(body),
            28..=30 => self.postcopy_step(code),
            37 => self.add(region(&body[8..]), number(body, 32, 8)),
            38 if fds > 0 => Err(Id::Vu(140)),
            38 if !self.regions.contains(&region(&body[8..])) => Err(Id::Vu(143)),
            41 if !self.exported.iter().any(|uuid| body == uuid) => Err(Id::Vu(228)),
            43 => Err(Id::Vu(170)), // Transfers are not modelled: none has ended.
            _ => Ok(()),
        }
    }

    fn gate(&self, code: u64) -> Result<(), Id> {
        let gate = match code {
            15 => Gate::Offered(30, 44),
            16 => Gate::Offered(30, 47),
            17 => Gate::OfferedProtocol(0, 115),
            18 => Gate::Chosen(30, 108),
            19 => Gate::OfferedProtocol(2, 197),
            20 => Gate::OfferedProtocol(4, 199),
            21 => Gate::OfferedProtocol(5, 201),
            22 => Gate::Chosen(33, 207),
            23 => Gate::Protocol(6, 111),
            24 | 25 => Gate::Protocol(9, 189),
            26 | 27 => Gate::Protocol(7, 247),
            28..=30 => Gate::Postcopy,
            31 | 32 => Gate::Protocol(12, 178),
            34 => Gate::OfferedProtocol(13, 221),
            35 => Gate::Protocol(14, 26),
            36..=38 => Gate::Protocol(15, 135),
            39 | 40 => Gate::Protocol(16, 225),
            41 => Gate::Protocol(18, 228),
            42 | 43 => Gate::Protocol(19, 158),
            44 => Gate::Protocol(22, 237),
            45 => Gate::Protocol(23, 93),
            1..=14 | 33 => Gate::Open,
            _ => return Err(Id::Vu(26)),
        };
        let (open, rule) = match gate {
            Gate::Offered(bit, rule) => (self.offered >> bit & 1 == 1, rule),
            Gate::Chosen(bit, rule) => (self.chose(bit), rule),
            Gate::OfferedProtocol(bit, rule) => (self.offered_protocol >> bit & 1 == 1, rule),
            Gate::Protocol(bit, rule) => (self.has(bit), rule),
            Gate::Postcopy if !self.has(8) => (false, 26),
            Gate::Postcopy => (!self.has(15), 173),
            Gate::Open => (true, 0),
        };
        let lacks_mtu = code == 20 && self.offered >> 3 & 1 == 0;
        let is_early = code == 21 && !self.chose(30);
        if open && !lacks_mtu && !is_early { Ok(()) } else { Err(Id::Vu(rule)) }
    }

    fn protocol_features(&self, bits: u64) -> Result<(), Id> {
        let all = |wanted: &[u64]| wanted.iter().all(|bit| bits >> bit & 1 == 1);
        if bits & !self.offered_protocol != 0 {
            return Err(Id::Vu(49));
        }
        if all(&[14]) && !all(&[5, 3]) {
            return Err(Id::Vu(216));
        }
        if all(&[23]) && !all(&[20, 12]) {
            return Err(Id::Vu(96));
        }
        Ok(())
    }

    fn table(&self, body: &[u8]) -> Result<(), Id> {
        if self.postcopy == Postcopy::TableSent {
            return Err(Id::Vu(133));
        }
        let count = number(body, 0, 4);
        let stride = if self.has(17) { 40 } else { 32 };
        let len = body.len() as u64;
        if len != 8 + count * stride && len != 8 + 8 * stride {
            return Err(Id::Vu(129));
        }
        let regions = self.table_regions(body);
        if self.has(21) && regions.iter().any(|(guest, _, user)| guest != user) {
            return Err(Id::Vu(125));
        }
        if regions.len() > self.max_regions {
            return Err(Id::Dc(22));
        }
        for (at, region) in regions.iter().enumerate() {
            let offset = number(body, 8 + at * usize::try_from(stride).unwrap_or(0) + 24, 8);
            whole(*region, offset)?;
            for other in &regions[..at] {
                if overlap(region.0, region.1, other.0, other.1) {
                    return Err(Id::Vu(120));
                }
                if overlap(region.2, region.1, other.2, other.1) {
                    return Err(Id::Vu(121));
                }
            }
        }
        Ok(())
    }

    fn table_regions(&self, body: &[u8]) -> Vec<Region> {
        let stride = if self.has(17) { 40 } else { 32 };
        let count = usize::try_from(number(body, 0, 4)).unwrap_or(0);
        (0..count).map(|at| region(&body[8 + at * stride..])).collect()
    }

    fn add(&self, (guest, size, user): Region, offset: u64) -> Result<(), Id> {
        if self.has(21) && guest != user {
            return Err(Id::Vu(125));
        }
        let count = self.regions.len();
        if count >= self.max_regions {
            return Err(Id::Dc(22));
        }
        whole((guest, size, user), offset)?;
        let clash = self.regions.iter().any(|other| {
            overlap(guest, size, other.0, other.1) || overlap(user, size, other.2, other.1)
        });
        if clash { Err(Id::Vu(122)) } else { Ok(()) }
    }

    fn log_base(&self, body: &[u8]) -> Result<(), Id> {
        if body.len() == 8 {
            return Ok(());
        }
        if !self.has(1) {
            return Err(Id::Vu(26));
        }
        let (size, offset) = (number(body, 0, 8), number(body, 8, 8));
        if size == 0 || u128::from(size) + u128::from(offset) > u128::from(u64::MAX) {
            return Err(Id::Vu(157));
        }
        if !offset.is_multiple_of(4096) {
            return Err(Id::Dc(25));
        }
        let end = self.regions.iter().map(|(guest, size, _)| guest + size).max().unwrap_or(0);
        if u128::from(size) * 8 * 4096 < end { Err(Id::Vu(151)) } else { Ok(()) }
    }

    fn index(&self, index: u64) -> Result<(), Id> {
        if index < self.queues { Ok(()) } else { Err(Id::Vu(117)) }
    }

    fn ring(&self, code: u64, index: u64, num: u64) -> Result<(), Id> {
        self.index(index)?;
        let packed = self.chose(34);
        let broken = match code {
            8 => (num == 0 || num > 32768 || !packed && !num.is_power_of_two()).then_some(77),
            10 if packed => (num / 65536 == 0 && num >= 32768).then_some(86),
            10 => (num > 65535).then_some(87),
            11 => (num != 0).then_some(88),
            12 => (!self.owned).then_some(52),
            18 => (num > 1).then_some(109),
            23 => (num > 1).then_some(112),
            35 if num != 0 => Some(218),
            35 => (!self.owned).then_some(52),
            45 => (num != 0).then_some(97),
            _ => None,
        };
        broken.map_or(Ok(()), |rule| Err(Id::Vu(rule)))
    }

    fn addresses(&self, body: &[u8]) -> Result<(), Id> {
        let index = number(body, 0, 4);
        self.index(index)?;
        if self.chose(33) {
            return Ok(());
        }
        let guests = self.has(21);
        let inside = |address: u64| {
            self.regions.iter().any(|(guest, size, user)| {
                let start = if guests { *guest } else { *user };
                (start..start + size).contains(&u128::from(address))
            })
        };
        let all_inside = [8, 16, 24].iter().all(|at| inside(number(body, *at, 8)));
        if !self.regions.is_empty() && !all_inside {
            return Err(Id::Vu(if guests { 81 } else { 82 }));
        }
        if number(body, 4, 4).is_multiple_of(2) {
            return Ok(());
        }
        let Some(log) = self.log else { return Err(Id::Vu(152)) };
        let known = self.ring_sizes.iter().rev().find(|(ring, _)| *ring == index);
        let Some((_, num)) = known else { return Ok(()) };
        let used = match (self.chose(34), self.chose(29)) {
            (true, _) => 4,
            (false, event) => 4 + 8 * num + if event { 2 } else { 0 },
        };
        let last = u128::from(number(body, 32, 8)) + u128::from(used) - 1;
        let is_inside = last / 4096 / 8 < u128::from(log) && last <= u128::from(u64::MAX);
        if is_inside { Ok(()) } else { Err(Id::Vu(152)) }
    }

    fn iotlb(&self, body: &[u8]) -> Result<(), Id> {
        let [iova, size, user] = [0, 8, 16].map(|at| u128::from(number(body, at, 8)));
        let is_range = size > 0 && iova + size <= u128::from(u64::MAX);
        match number(body, 25, 1) {
            2 if !is_range || !(1..=3).contains(&number(body, 24, 1)) => Err(Id::Vu(209)),
            2 => {
                // Page by page would be slow: go from region to region.
                let mut at = user;
                while at < user + size {
                    let next = self.regions.iter().find_map(|(guest, size, user)| {
                        let start = if self.has(21) { *guest } else { *user };
                        (start..start + size).contains(&at).then_some(start + size)
                    });
                    at = next.ok_or(Id::Vu(210))?;
                }
                Ok(())
            }
            3 if !is_range => Err(Id::Vu(211)),
            3 => Ok(()),
            _ => Err(Id::Vu(209)),
        }
    }

    fn postcopy_step(&self, code: u64) -> Result<(), Id> {
        let is_next = match code {
            28 => self.postcopy == Postcopy::Off,
            29 => self.postcopy == Postcopy::Advised,
            _ => self.postcopy == Postcopy::Listening,
        };
        if is_next { Ok(()) } else { Err(Id::Vu(175)) }
    }

    /// Spec §1.6.
    fn has_reply(&self, bytes: &[u8]) -> bool {
        let asks = number(bytes, 4, 4) / 8 % 2 == 1;
        match number(bytes, 0, 4) {
            1 | 11 | 15 | 17 | 22 | 24 | 26 | 28 | 30 | 31 | 36 | 40..=45 => true,
            6 if self.has(1) => true,
            5 if self.postcopy == Postcopy::Listening => true,
            37 if matches!(self.postcopy, Postcopy::Listening | Postcopy::TableSent) => true,
            _ => asks,
        }
    }

    /// A legal request was sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        let (code, body) = (number(bytes, 0, 4), &bytes[12..]);
        match code {
            2 => self.chosen = Some(number(body, 0, 8)),
            3 => self.owned = true,
            5 => {
                self.regions = self.table_regions(body);
                if self.postcopy == Postcopy::Listening {
                    self.postcopy = Postcopy::TableSent;
                }
            }
            6 if body.len() == 16 => self.log = Some(number(body, 0, 8)),
            8 => self.ring_sizes.push((number(body, 0, 4), number(body, 4, 4))),
            16 => self.protocol = number(body, 0, 8),
            28 => self.postcopy = Postcopy::Advised,
            29 => self.postcopy = Postcopy::Listening,
            30 => self.postcopy = Postcopy::Off,
            34 => {
                self.chosen = None;
                self.ring_sizes.clear();
            }
            37 => self.regions.push(region(&body[8..])),
            38 => self.regions.retain(|other| *other != region(&body[8..])),
            _ => {}
        }
    }
}

fn region(bytes: &[u8]) -> Region {
    let [guest, size, user] = [0, 8, 16].map(|at| u128::from(number(bytes, at, 8)));
    (guest, size, user)
}

/// VU-123: not empty, and no end wraps.
fn whole((guest, size, user): Region, offset: u64) -> Result<(), Id> {
    let ends = [guest, user, u128::from(offset)].map(|start| start + size);
    let wraps = ends.iter().any(|end| *end > u128::from(u64::MAX));
    if size == 0 || wraps { Err(Id::Vu(123)) } else { Ok(()) }
}

fn overlap(start: u128, len: u128, other: u128, other_len: u128) -> bool {
    start < other + other_len && other < start + len
}
