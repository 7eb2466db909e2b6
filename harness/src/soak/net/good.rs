//! A well-behaved front-end, which has to be served well.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use vhost_fuzz_core::net::control::{class, mac, mq, rx};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::vhost_user::FrontendRequest as R;

use super::front_end::FrontEnd;
use super::ledger::{Ledger, MAC};
use super::plan::Way;
use super::queue::BUFFERS;
use super::report::{Fault, Tally};
use crate::driver::{Driver as _, Request, Style};

/// Most requests that are sent together.
const BURST: usize = 8;

/// How long a driver that is not called waits before it looks again.
const INTERVAL: Duration = Duration::from_micros(200);

impl FrontEnd {
    /// Sends requests, and waits until each is answered.
    pub(super) fn be_good(&mut self, tally: &mut Tally) -> Result<(), Fault> {
        self.command_all(tally)?;
        let mut ledger = Ledger::default();
        for _ in 0..self.rng.u8(1..12) {
            self.post();
            for pair in 0..usize::from(self.plan.pairs) {
                self.kick(2 * pair)?;
            }
            self.send_some(&mut ledger, tally)?;
            self.collect(&mut ledger, tally)?;
            if self.rng.u8(..4) == 0 {
                self.interlude()?;
                tally.interludes += 1;
            }
        }
        self.settle(&mut ledger, tally)
    }

    fn merges(&self) -> bool {
        self.plan.has(Features::MRG_RXBUF)
    }

    fn post(&mut self) {
        let merges = self.merges();
        let Self { plan, queues, ram, rng, .. } = self;
        for queue in queues.iter_mut().take(2 * usize::from(plan.pairs)).step_by(2) {
            queue.post(ram, merges, rng.u64(..));
        }
    }

    /// Sends as many requests as there are receive buffers for the answers, whichever queue they
    /// come to.
    fn send_some(&mut self, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Fault> {
        let receive = self.queues.iter().take(2 * usize::from(self.plan.pairs)).step_by(2);
        let posted = receive.map(|queue| queue.driver.in_flight()).min().unwrap_or(0);
        let room = if self.merges() { posted / BUFFERS } else { posted };
        if room == 0 {
            return Err(Fault::Full);
        }
        for _ in 0..self.rng.usize(1..=room.min(BURST)) {
            let at = 1 + 2 * self.rng.usize(..usize::from(self.plan.pairs));
            let frame = ledger.ask(&mut self.rng);
            tally.frames += 1;
            self.transmit(at, &frame)?;
            if self.rng.bool() {
                self.kick(at)?;
            }
        }
        for pair in 0..usize::from(self.plan.pairs) {
            self.kick(1 + 2 * pair)?;
        }
        Ok(())
    }

    /// Makes a frame available, behind a header that asks for nothing.
    fn transmit(&mut self, at: usize, frame: &[u8]) -> Result<(), Fault> {
        let bytes = [&vec![0; self.plan.header_len()][..], frame].concat();
        let end = self.deadline();
        let seed = self.rng.u64(..);
        loop {
            let Self { queues, ram, .. } = self;
            let queue = &mut queues[at];
            while queue.reap(ram)?.is_some() {}
            let request = Request { readable: &bytes, writable: 0 };
            let part = queue.part(ram);
            // When memory is short, a plain layout may fit.
            for style in [Style { is_aliased: false, ..Style::draw(seed) }, Style::default()] {
                if queue.driver.publish(&part, &request, &style).is_ok() {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(Fault::Full);
            }
            self.kick(at)?;
            std::thread::sleep(INTERVAL);
        }
    }

    /// Waits until nothing is due any more.
    fn collect(&mut self, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Fault> {
        let end = self.deadline();
        loop {
            self.take_frames(ledger, tally)?;
            if ledger.is_settled() {
                return Ok(());
            }
            if self.wants_calls() {
                continue;
            }
            if !self.sleep(end)? {
                let before = tally.answers;
                self.take_frames(ledger, tally)?;
                let is_there = tally.answers > before;
                return Err(if is_there { Fault::NoCall } else { ledger.missing() });
            }
        }
    }

    /// Takes the frames that are there.
    fn take_frames(&mut self, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Fault> {
        let (merges, header_len) = (self.merges(), self.plan.header_len());
        let Self { plan, queues, ram, .. } = self;
        for queue in queues.iter_mut().take(2 * usize::from(plan.pairs)).step_by(2) {
            while let Some(frame) = queue.frame(ram, merges, header_len)? {
                ledger.answered(&frame)?;
                tally.answers += 1;
            }
        }
        Ok(())
    }

    /// Asks for a call at every receive queue. `true`: something is there already.
    fn wants_calls(&mut self) -> bool {
        let Self { plan, queues, ram, .. } = self;
        let mut is_there = false;
        for queue in queues.iter_mut().take(2 * usize::from(plan.pairs)).step_by(2) {
            is_there |= queue.wants_call(ram);
        }
        is_there
    }

    /// Sleeps until the device calls, or for a while if it cannot. `false`: time is over.
    fn sleep(&mut self, end: Instant) -> Result<bool, Fault> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let Self { talk, plan, queues, .. } = self;
        if plan.call == Way::Poll {
            std::thread::sleep(INTERVAL);
            return Ok(true);
        }
        let system = |error: rustix::io::Errno| Fault::System(error.to_string());
        let left = Timespec::try_from(left).map_err(|error| Fault::System(error.to_string()))?;
        let calls = queues.iter().map(|queue| PollFd::new(&queue.call, PollFlags::IN));
        let channel = talk.channel.iter().map(|channel| PollFd::new(channel, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = calls.chain(channel).collect();
        let ready = retry_on_intr(|| poll(&mut fds, Some(&left))).map_err(system)?;
        drop(fds);
        for queue in &*queues {
            // Nothing is there where nobody called.
            let _ = rustix::io::read(&queue.call, &mut [0; 8]);
        }
        talk.hear()?;
        Ok(ready > 0)
    }

    /// Stops a ring that goes on where it was, or shares memory anew, while all else runs. It runs
    /// again when the last reply has come: what is sent to a ring before is lost (VU-063).
    fn interlude(&mut self) -> Result<(), Fault> {
        if self.rng.u8(..3) == 0 && !self.plan.adds_regions {
            return self.set_table();
        }
        let at = self.rng.usize(..2 * usize::from(self.plan.pairs));
        let end = self.deadline();
        // What is on its way may be given back until then.
        let base = self.stop(at)?;
        let Self { queues, ram, .. } = self;
        let queue = &mut queues[at];
        if at % 2 == 1 {
            while queue.driver.in_flight() > 0 {
                if queue.reap(ram)?.is_none() && Instant::now() > end {
                    return Err(Fault::Full);
                }
            }
        }
        let index = queue.index;
        self.talk.state(R::SET_VRING_BASE, index, base)?;
        self.start(at)?;
        self.talk.number(R::GET_FEATURES).map(drop)
    }

    /// Stops all rings, and starts them where they were. No answer came twice, and all that was
    /// sent was used.
    fn settle(&mut self, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Fault> {
        let mut bases = Vec::new();
        for at in 0..self.queues.len() {
            bases.push(self.stop(at)?);
        }
        self.take_frames(ledger, tally)?;
        let data = 2 * usize::from(self.plan.pairs);
        for (at, base) in bases.into_iter().enumerate() {
            let Self { queues, ram, .. } = self;
            let queue = &mut queues[at];
            let index = queue.index;
            if at % 2 == 1 || at == data {
                while queue.reap(ram)?.is_some() {}
                let is_done = queue.driver.in_flight() == 0 && queue.driver.base() == base;
                if !is_done {
                    return Err(Fault::Talk(format!("ring {index} did not stop at its end")));
                }
            }
            self.talk.state(R::SET_VRING_BASE, index, base)?;
            self.start(at)?;
        }
        self.talk.number(R::GET_FEATURES).map(drop)
    }

    /// Commands that change nothing for the frames that are sent afterwards.
    fn command_all(&mut self, tally: &mut Tally) -> Result<(), Fault> {
        if !self.plan.has(Features::CTRL_VQ) {
            return Ok(());
        }
        let [low, high] = self.plan.pairs.to_le_bytes();
        let pairs = [class::MQ, mq::VQ_PAIRS_SET, low, high];
        let mut own = vec![class::MAC, mac::ADDR_SET];
        own.extend(MAC);
        let table = [class::MAC, mac::TABLE_SET, 0, 0, 0, 0, 0, 0, 0, 0];
        let mode = self.rng.u8(..2);
        let all: [(Features, &[u8]); 4] = [
            (Features::MQ, &pairs),
            (Features::CTRL_MAC_ADDR, &own),
            (Features::CTRL_RX, &table),
            (Features::CTRL_RX, &[class::RX, rx::PROMISC, mode]),
        ];
        for (feature, command) in all {
            if self.plan.has(feature) {
                self.command(command)?;
                tally.commands += 1;
            }
        }
        Ok(())
    }

    /// Sends a command, and waits for its acknowledgement.
    fn command(&mut self, command: &[u8]) -> Result<(), Fault> {
        let at = self.queues.len() - 1;
        let end = self.deadline();
        let style = Style { is_aliased: false, ..Style::draw(self.rng.u64(..)) };
        let Self { queues, ram, .. } = self;
        let part = queues[at].part(ram);
        let request = Request { readable: command, writable: 1 };
        queues[at].driver.publish(&part, &request, &style).map_err(|_| Fault::Full)?;
        self.kick(at)?;
        loop {
            let Self { queues, ram, .. } = self;
            if let Some(completion) = queues[at].reap(ram)? {
                let ack = completion.data.first().copied();
                let command = [command[0], command[1]];
                return if ack == Some(0) { Ok(()) } else { Err(Fault::Command { command, ack }) };
            }
            if Instant::now() > end {
                return Err(Fault::Command { command: [command[0], command[1]], ack: None });
            }
            if queues[at].wants_call(ram) {
                continue;
            }
            self.sleep(end)?;
        }
    }
}
