//! A front-end that negotiates, shares its memory and starts its rings.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use vhost_fuzz_backend::net::Config;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Inflight, MemReg, MemTable, RegionBytes};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Layout, Payload};

use super::plan::{Plan, Way};
use super::queue::{Queue, RAM};
use super::report::Fault;
use super::talk::Talk;
use crate::driver::{Driver as _, Setup};
use crate::ram::Shared;

/// A front-end, its guest, and the rings of that.
pub(super) struct FrontEnd {
    pub(super) talk: Talk,
    pub(super) plan: Plan,
    pub(super) ram: Shared,
    /// Receive and transmit of each pair that is used, and the control queue if there is one.
    pub(super) queues: Vec<Queue>,
    pub(super) rng: Rng,
    pub(super) patience: Duration,
}

impl FrontEnd {
    /// Connects to a back-end with this configuration, and starts the rings that it will use.
    pub(super) fn new(
        path: &Path,
        config: &Config,
        mut rng: Rng,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let mut talk = Talk::new(path, patience)?;
        let plan = negotiate(&mut talk, config, &mut rng)?;
        let ram = Shared::new(RAM).map_err(|error| Fault::System(error.to_string()))?;
        let queues = Vec::new();
        let mut front_end = Self { talk, plan, ram, queues, rng, patience };
        front_end.make_queues(config.pairs)?;
        if plan.has_protocol(protocol::BACKEND_REQ) {
            front_end.talk.open_channel()?;
        }
        if plan.has_protocol(protocol::INFLIGHT_SHMFD) && front_end.rng.bool() {
            front_end.share_inflight(config)?;
        }
        front_end.share_memory()?;
        for at in 0..front_end.queues.len() {
            front_end.set_up(at)?;
            front_end.start(at)?;
        }
        // Messages are handled in their order: all rings are enabled when the reply has come.
        front_end.talk.number(R::GET_FEATURES)?;
        Ok(front_end)
    }

    /// The rings in memory. The device has `pairs` of data queues.
    fn make_queues(&mut self, pairs: u16) -> Result<(), Fault> {
        let Self { plan, ram, queues, rng, .. } = self;
        let has = |bit: u64| plan.features & bit != 0;
        let data = 2 * plan.pairs;
        // It comes behind all data queues that the driver knows of (virtio 1.3 §5.1.2).
        let known = if plan.has(Features::MQ) { pairs } else { 1 };
        let control = plan.has(Features::CTRL_VQ).then_some(2 * known);
        for index in (0..data).chain(control) {
            let size = plan.size(rng);
            let features = |setup| Setup {
                event_idx: has(virtio::EVENT_IDX),
                indirect: has(virtio::INDIRECT_DESC),
                in_order: has(virtio::IN_ORDER),
                table_max: size,
                ..setup
            };
            queues.push(Queue::new(ram, index, plan.format(), features, size)?);
        }
        Ok(())
    }

    fn share_inflight(&mut self, config: &Config) -> Result<(), Fault> {
        let num_queues = 2 * config.pairs + u16::from(config.has_control);
        let queue_size = config.queue_size;
        let wanted = Inflight { mmap_size: 0, mmap_offset: 0, num_queues, queue_size, padding: 0 };
        let reply = self.talk.ask(R::GET_INFLIGHT_FD, Payload::Inflight(wanted), &[])?;
        let (Some(area), Some(fd)) = (reply.inflight, reply.fd) else {
            return Err(Fault::Talk("GET_INFLIGHT_FD: no area".to_owned()));
        };
        self.talk.ask(R::SET_INFLIGHT_FD, Payload::Inflight(area), &[fd.as_fd()]).map(drop)
    }

    fn share_memory(&mut self) -> Result<(), Fault> {
        if !self.plan.adds_regions {
            return self.set_table();
        }
        self.talk.number(R::GET_MAX_MEM_SLOTS)?;
        for region in RAM.regions() {
            let added = Payload::MemReg(MemReg { padding: 0, region });
            self.talk.ask(R::ADD_MEM_REG, added, &[self.ram.file().as_fd()])?;
        }
        Ok(())
    }

    /// Shares all memory as one table, which takes the place of what was shared before.
    pub(super) fn set_table(&mut self) -> Result<(), Fault> {
        let regions = RAM.regions();
        let bytes = RegionBytes::new(&regions);
        let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        let table = MemTable::new(count, Layout::default(), bytes.as_bytes());
        let fds = vec![self.ram.file().as_fd(); regions.len()];
        self.talk.ask(R::SET_MEM_TABLE, Payload::MemTable(table), &fds).map(drop)
    }

    /// Says where a ring is, and how it calls.
    fn set_up(&mut self, at: usize) -> Result<(), Fault> {
        let Self { talk, plan, queues, .. } = self;
        let queue = &queues[at];
        talk.state(R::SET_VRING_NUM, queue.index, queue.driver.setup().size.into())?;
        talk.state(R::SET_VRING_BASE, queue.index, queue.driver.base())?;
        talk.ask(R::SET_VRING_ADDR, Payload::Addr(queue.addresses()), &[])?;
        match plan.call {
            Way::Fd => talk.vring_fd(R::SET_VRING_CALL, queue.index, Some(queue.call.as_fd())),
            Way::Poll => talk.vring_fd(R::SET_VRING_CALL, queue.index, None),
            Way::Message => Ok(()),
        }
    }

    /// Starts and enables a ring.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Fault> {
        let Self { talk, plan, queues, .. } = self;
        let queue = &queues[at];
        match plan.kick {
            Way::Fd => talk.vring_fd(R::SET_VRING_KICK, queue.index, Some(queue.kick.as_fd()))?,
            Way::Poll => talk.vring_fd(R::SET_VRING_KICK, queue.index, None)?,
            Way::Message => talk.state(R::VRING_KICK, queue.index, 0).map(drop)?,
        }
        if plan.features & virtio::PROTOCOL_FEATURES != 0 {
            talk.state(R::SET_VRING_ENABLE, queue.index, 1)?;
        }
        Ok(())
    }

    /// Stops a ring; where the device says that it was.
    pub(super) fn stop(&mut self, at: usize) -> Result<u32, Fault> {
        let index = self.queues[at].index;
        let reply = self.talk.state(R::GET_VRING_BASE, index, 0)?;
        let state = reply.state.filter(|state| state.index == u32::from(index));
        state.map(|state| state.num).ok_or_else(|| Fault::Talk("GET_VRING_BASE".to_owned()))
    }

    /// Kicks the device, if it wants to be kicked.
    pub(super) fn kick(&mut self, at: usize) -> Result<(), Fault> {
        let Self { talk, plan, queues, ram, .. } = self;
        let queue = &mut queues[at];
        if !queue.needs_kick(ram)? {
            return Ok(());
        }
        match plan.kick {
            Way::Fd => rustix::io::write(&queue.kick, &1_u64.to_ne_bytes())
                .map(drop)
                .map_err(|error| Fault::System(error.to_string())),
            Way::Message => talk.state(R::VRING_KICK, queue.index, 0).map(drop),
            Way::Poll => Ok(()),
        }
    }

    /// When patience is over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }
}

fn negotiate(talk: &mut Talk, config: &Config, rng: &mut Rng) -> Result<Plan, Fault> {
    let offered = talk.number(R::GET_FEATURES)?;
    let offered_protocol = talk.number(R::GET_PROTOCOL_FEATURES)?;
    let plan = Plan::draw(rng, offered, offered_protocol, config.pairs);
    if plan.features & virtio::PROTOCOL_FEATURES != 0 {
        talk.tell(R::SET_PROTOCOL_FEATURES, plan.protocol)?;
    }
    talk.tell(R::SET_FEATURES, plan.features)?;
    talk.ask(R::SET_OWNER, Payload::None, &[])?;
    Ok(plan)
}
