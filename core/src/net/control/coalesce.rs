//! How seldom a driver wants to be notified. A device keeps the wishes; nobody is bound by them.

/// Notify after so many packets or so many microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Coalescing {
    /// Packets.
    pub max_packets: u32,
    /// Microseconds.
    pub max_usecs: u32,
}

impl Coalescing {
    /// Both fields as they are on the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.max_packets.to_le_bytes();
        let [e, f, g, h] = self.max_usecs.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl From<[u8; 8]> for Coalescing {
    fn from([a, b, c, d, e, f, g, h]: [u8; 8]) -> Self {
        let max_packets = u32::from_le_bytes([a, b, c, d]);
        Self { max_packets, max_usecs: u32::from_le_bytes([e, f, g, h]) }
    }
}

/// The wishes for all queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// For receive and for transmit queues.
    all: [Coalescing; 2],
    /// For each data queue.
    each: Box<[Coalescing]>,
}

impl Wishes {
    pub(super) fn new(queues: usize) -> Self {
        Self { all: Default::default(), each: vec![Coalescing::default(); queues].into() }
    }

    pub(super) fn clear(&mut self) {
        self.all = Default::default();
        self.each.fill(Coalescing::default());
    }

    /// For all receive queues, or all transmit queues.
    pub(super) fn set_all(&mut self, is_transmit: bool, wish: Coalescing) {
        let [receive, transmit] = &mut self.all;
        *(if is_transmit { transmit } else { receive }) = wish;
        for each in self.each.iter_mut().skip(is_transmit.into()).step_by(2) {
            *each = wish;
        }
    }

    pub(super) fn set(&mut self, queue: u16, wish: Coalescing) {
        if let Some(each) = self.each.get_mut(usize::from(queue)) {
            *each = wish;
        }
    }

    pub(super) fn get(&self, queue: u16) -> Option<Coalescing> {
        self.each.get(usize::from(queue)).copied()
    }

    /// A queue that begins anew has what was wished for all of its kind.
    pub(super) fn begin(&mut self, queue: u16) {
        let [receive, transmit] = self.all;
        self.set(queue, if queue.is_multiple_of(2) { receive } else { transmit });
    }
}
