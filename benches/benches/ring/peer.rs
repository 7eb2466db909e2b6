//! The same batches by `virtio-queue` on the same memory. It has no packed rings.

use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};

use vhost_fuzz_benches::ring::{Driver, Memory, Plan};
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap};

/// A device that is made with `virtio-queue`.
pub(crate) struct Peer {
    plan: Plan,
    memory: &'static GuestMemoryMmap,
    driver: Driver,
    queue: Queue,
    heads: Vec<u16>,
    payload: Vec<u8>,
}

/// The halves of an address.
fn halves(address: u64) -> (Option<u32>, Option<u32>) {
    let half = |shift: u32| u32::try_from(address >> shift & u64::from(u32::MAX)).ok();
    (half(0), half(32))
}

impl Peer {
    /// A device on memory of its own, which has gone through a batch and found the payload right.
    pub(crate) fn new(plan: Plan) -> Self {
        let memory = Memory::new(plan);
        let addresses = memory.addresses();
        let mut queue = Queue::new(plan.size()).expect("a size of a ring");
        queue.set_size(plan.size());
        let (low, high) = halves(addresses.descriptor);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(addresses.available);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(addresses.used);
        queue.set_used_ring_address(low, high);
        queue.set_ready(true);
        assert!(queue.is_valid(memory.mapped), "a ring");
        let heads = Vec::with_capacity(plan.chains().into());
        let payload = vec![0; plan.payload];
        let driver = Driver::new(&memory);
        let mut peer = Self { plan, memory: memory.mapped, driver, queue, heads, payload };
        peer.walk();
        assert_eq!(peer.payload, plan.expected(), "{plan:?}: the payload");
        peer.serve();
        peer.each();
        peer
    }

    /// As `Device::walk` of the core's side.
    pub(crate) fn walk(&mut self) -> Duration {
        self.driver.arm();
        let start = Instant::now();
        self.take();
        let time = start.elapsed();
        self.give();
        time
    }

    /// As `Device::publish` of the core's side.
    pub(crate) fn publish(&mut self) -> Duration {
        self.driver.arm();
        self.take();
        let start = Instant::now();
        self.give();
        start.elapsed()
    }

    /// As `Device::serve` of the core's side, but that each `add_used` moves the index.
    pub(crate) fn serve(&mut self) -> Duration {
        self.one_by_one(false)
    }

    /// As `Device::each` of the core's side.
    pub(crate) fn each(&mut self) -> Duration {
        self.one_by_one(true)
    }

    fn one_by_one(&mut self, publish: bool) -> Duration {
        self.driver.arm();
        let Self { plan, memory, queue, .. } = self;
        let start = Instant::now();
        let (mut bytes, mut left) = (0, plan.chains());
        while left > 0 {
            left -= 1;
            let chain = queue.pop_descriptor_chain(*memory).expect("a chain");
            let head = chain.head_index();
            bytes += translate(chain, memory);
            queue.add_used(*memory, head, 0).expect("a used ring");
            if publish || left == 0 {
                assert!(queue.needs_notification(*memory).expect("an available ring"));
            }
        }
        assert_eq!(bytes, plan.bytes(), "the bytes of all chains");
        start.elapsed()
    }

    /// Takes the chains of a batch. The iterator loads the available index once, as the core does.
    #[inline(never)]
    fn take(&mut self) {
        let Self { plan, memory, queue, heads, payload, .. } = self;
        let mut bytes = 0;
        for chain in queue.iter(*memory).expect("an available ring") {
            heads.push(chain.head_index());
            if payload.is_empty() {
                bytes += translate(chain, memory);
            } else {
                let mut reader = chain.reader(*memory).expect("a good chain");
                reader.read_exact(payload).expect("a payload");
                black_box(&payload);
            }
        }
        assert_eq!(heads.len(), usize::from(plan.chains()), "all chains");
        assert!(!payload.is_empty() || bytes == plan.bytes(), "the bytes of all chains");
    }

    /// Gives the chains of a batch back.
    #[inline(never)]
    fn give(&mut self) {
        let Self { memory, queue, heads, .. } = self;
        for head in heads.drain(..) {
            queue.add_used(*memory, head, 0).expect("a used ring");
        }
        assert!(queue.needs_notification(*memory).expect("an available ring"));
    }
}

/// Finds every buffer of a chain in memory.
#[inline]
fn translate(chain: DescriptorChain<&GuestMemoryMmap>, memory: &GuestMemoryMmap) -> u64 {
    let mut bytes = 0;
    for descriptor in chain {
        let slice = memory
            .get_slice(descriptor.addr(), descriptor.len() as usize)
            .expect("a buffer in memory");
        bytes += black_box(&slice).len() as u64;
    }
    bytes
}

/// Making a reader of one chain and reading from it, again and again.
pub(crate) struct Reading {
    memory: &'static GuestMemoryMmap,
    chain: DescriptorChain<&'static GuestMemoryMmap>,
    bytes: Vec<u8>,
}

impl Reading {
    /// The payload is read from the first chain of a plan.
    pub(crate) fn new(plan: Plan) -> Self {
        let Peer { memory, mut driver, mut queue, payload, .. } = Peer::new(plan);
        driver.arm();
        let chain = queue.pop_descriptor_chain(memory).expect("a chain");
        let mut reading = Self { memory, chain, bytes: payload };
        reading.bytes.fill(0);
        reading.run(1);
        assert_eq!(reading.bytes, plan.expected(), "{plan:?}: the payload");
        reading
    }

    /// Reads it `times` times.
    #[inline(never)]
    pub(crate) fn run(&mut self, times: u64) {
        let Self { memory, chain, bytes } = self;
        for _ in 0..times {
            let chain = black_box(&*chain).clone();
            let mut reader = chain.reader(*memory).expect("a good chain");
            reader.read_exact(black_box(bytes)).expect("a payload");
        }
    }
}
