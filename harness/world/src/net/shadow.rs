//! The memory and the rings that the model of a network device works on.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_model::net::device::Host;
use vhost_fuzz_model::ring as model;

use super::QUEUES;
use crate::ram::GuestRam as _;
use crate::ring::model::{Model, form};
use crate::ring::world::World;

/// What was written in a wake-up, and the memory to note it in.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Address and bytes of each write.
    pub writes: Vec<(u64, u64)>,
    /// Chains that were taken.
    pub pops: u64,
    scratch: model::Writes,
}

impl Log {
    /// Nothing was written.
    pub fn clear(&mut self) {
        self.writes.clear();
        self.pops = 0;
    }

    /// All bytes that were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.writes.iter().map(|(_, len)| len).sum()
    }

    /// Does and notes what the model of a ring wants to have written.
    pub fn apply(&mut self, world: &World, work: impl FnOnce(&mut model::Writes)) {
        self.scratch.clear();
        work(&mut self.scratch);
        for write in self.scratch.list() {
            world.ram.put(write.address, write.bytes());
            self.writes.push((write.address, write.bytes().len() as u64));
        }
    }
}

/// Rings of models in a memory of their own.
#[derive(Debug)]
pub struct Shadow<'a> {
    /// How rings are laid out.
    pub form: Form,
    /// The memory.
    pub world: &'a World,
    /// The rings that are bound in this wake-up.
    pub rings: &'a mut [Option<Model>; QUEUES],
    /// What was written.
    pub log: &'a mut Log,
}

impl Shadow<'_> {
    fn ring(&mut self, queue: usize) -> (&mut Model, &World, &mut Log) {
        let ring = self.rings[queue].as_mut();
        (ring.expect("a ring that is bound"), self.world, self.log)
    }
}

impl Host for Shadow<'_> {
    fn form(&self) -> model::Form {
        form(self.form)
    }

    fn pop(&mut self, queue: usize, chain: &mut model::Chain) -> model::Pop {
        let (ring, world, log) = self.ring(queue);
        log.pops += 1;
        ring.pop(world, chain)
    }

    fn unpop(&mut self, queue: usize, token: model::Token) -> Result<(), model::PutRefusal> {
        self.ring(queue).0.unpop(token)
    }

    fn put(
        &mut self,
        queue: usize,
        token: model::Token,
        len: u32,
    ) -> Result<(), model::PutRefusal> {
        let (ring, world, log) = self.ring(queue);
        let mut put = Ok(());
        log.apply(world, |writes| put = ring.put(token, len, writes));
        put
    }

    fn publish(&mut self, queue: usize) -> Result<bool, model::Stop> {
        let (ring, world, log) = self.ring(queue);
        // The driver's wish is looked at after the index is stored, which may lie on it.
        let mut published = Ok(false);
        log.apply(world, |writes| published = ring.publish(world, writes));
        published
    }

    fn arm(&mut self, queue: usize) -> Result<bool, model::Stop> {
        let (ring, world, log) = self.ring(queue);
        let mut armed = Ok(false);
        log.apply(world, |writes| armed = ring.arm(world, writes));
        armed
    }

    fn disarm(&mut self, queue: usize) -> Result<(), model::Stop> {
        let (ring, world, log) = self.ring(queue);
        log.apply(world, |writes| ring.disarm(writes));
        ring.stopped().map_or(Ok(()), Err)
    }

    fn read(&mut self, address: u64, out: &mut [u8]) {
        model::fetch(&self.world.view, &self.world.regions, address, out);
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        self.world.ram.put(address, bytes);
        self.log.writes.push((address, bytes.len() as u64));
    }
}
