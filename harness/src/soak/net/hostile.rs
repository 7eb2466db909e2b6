//! A front-end that does what it likes, while the device runs.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{RecvFlags, recv};
use vhost_fuzz_backend::socket::send;
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::{
    LogBase, MemReg, MemTable, RegionBytes, VringAddr, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::{
    FrontendRequest as R, HEADER_LEN, Layout, MAX_FDS, Message, Payload,
};

use super::front_end::FrontEnd;
use super::ledger::Ledger;
use super::queue::RAM;
use super::report::Tally;
use crate::context::Context;
use crate::driver::hostile::{Field, poke, values};
use crate::driver::{Driver as _, Request, Style};
use crate::mutate;

/// Most acts of a hostile front-end.
const ACTS: u32 = 120;

/// Most kicks at once.
const KICKS: u32 = 300;

/// Most connections at once that nobody uses.
const WAITING: usize = 64;

/// What a hostile front-end has besides its rings.
pub(super) struct Mood {
    /// It sends what is no message, too.
    is_rude: bool,
    /// Its memory is not in its file any more: nobody may touch it.
    is_short: bool,
    /// The back-end has closed the connection.
    is_over: bool,
    log: Option<OwnedFd>,
    /// Connections that wait.
    pub(super) waiting: Vec<UnixStream>,
}

impl FrontEnd {
    /// Does some of everything, and leaves in some way. Gives the connections that it opened.
    pub(super) fn be_hostile(&mut self, path: &Path, tally: &mut Tally) -> Vec<UnixStream> {
        let (is_rude, is_short, is_over) = (self.rng.bool(), false, false);
        let mut mood = Mood { is_rude, is_short, is_over, log: None, waiting: Vec::new() };
        let acts = self.rng.u32(..ACTS);
        for _ in 0..acts {
            self.act(&mut mood, path, tally);
            tally.hostile += 1;
            self.drain();
            if mood.is_over {
                break;
            }
        }
        self.leave(&mut mood, tally);
        mood.waiting
    }

    fn act(&mut self, mood: &mut Mood, path: &Path, tally: &mut Tally) {
        let has_memory = !mood.is_short;
        match self.rng.u8(..64) {
            0..24 if has_memory => self.poke_some(tally),
            24..34 if has_memory => self.send_anything(),
            34..38 if has_memory => self.take_back(),
            38..42 => self.storm(mood),
            // Whoever reads it first, has the kick.
            42 => drop(rustix::io::read(&self.any_queue().kick, &mut [0; 8])),
            43..46 => self.change_memory(mood),
            46..49 => self.stop_and_go(mood),
            49..52 => self.toggle(mood),
            52..55 => self.change_ring(mood),
            55 | 56 => self.odd_descriptor(mood),
            57 => self.change_session(mood),
            58 => self.log(mood),
            59 => self.wait_in_line(mood, path, tally),
            60 if mood.is_rude => self.garbage(mood),
            61 => self.answer_anything(),
            62 if self.rng.u8(..8) == 0 => self.shorten(mood, tally),
            _ => std::thread::yield_now(),
        }
    }

    fn any_queue(&mut self) -> &mut super::queue::Queue {
        let at = self.rng.usize(..self.queues.len());
        &mut self.queues[at]
    }

    /// Writes values that devices have tripped over, or any, into fields of a ring.
    fn poke_some(&mut self, tally: &mut Tally) {
        let at = self.rng.usize(..self.queues.len());
        let Self { queues, ram, rng, .. } = self;
        let queue = &queues[at];
        let part = queue.part(ram);
        for _ in 0..rng.u8(1..6) {
            let field = Field::draw(queue.driver.format(), rng.u64(..));
            let known = values(&queue.driver, &part, field);
            let value = match rng.choice(known) {
                Some(value) if rng.u8(..8) > 0 => value,
                _ => rng.u64(..),
            };
            tally.pokes += u64::from(poke(&queue.driver, &part, field, value));
        }
        self.notify(at);
    }

    /// Makes requests available that are good, nearly good, or nothing.
    fn send_anything(&mut self) {
        let header_len = self.plan.header_len();
        let at = self.rng.usize(..self.queues.len());
        let Self { queues, ram, rng, .. } = self;
        let queue = &mut queues[at];
        let part = queue.part(ram);
        for _ in 0..rng.u8(1..20) {
            let mut bytes = vec![0; header_len];
            bytes.extend(Ledger::default().ask(rng));
            for _ in 0..rng.u8(..4) {
                let place = rng.usize(..bytes.len());
                bytes[place] = rng.u8(..);
            }
            bytes.truncate(rng.usize(1..=bytes.len() * 2).min(bytes.len()));
            let writable = [0, 0, 1, 12, 1534, 0x1_0000][rng.usize(..6)];
            let request = Request { readable: &bytes, writable };
            let style = Style::draw(rng.u64(..));
            if queue.driver.add(&part, &request, &style).is_err() {
                break;
            }
        }
        queue.driver.flush(&part);
        self.notify(at);
    }

    /// Takes back what came, as far as it makes sense to a driver.
    fn take_back(&mut self) {
        let Self { queues, ram, .. } = self;
        for queue in queues.iter_mut() {
            while let Ok(Some(_)) = queue.reap(ram) {}
            let _ = queue.wants_call(ram);
        }
    }

    /// A kick that nobody asked for.
    fn notify(&mut self, at: usize) {
        // A counter that is full was heard already.
        let _ = rustix::io::write(&self.queues[at].kick, &1_u64.to_ne_bytes());
    }

    /// Kicks and kicks, by descriptor or by message.
    fn storm(&mut self, mood: &mut Mood) {
        let count = self.rng.u32(1..KICKS);
        let is_message = self.rng.u8(..3) == 0;
        let index = self.any_index();
        for _ in 0..count {
            if is_message {
                self.say(mood, R::VRING_KICK, state(index, 0), &[]);
                self.drain();
            } else {
                let at = self.rng.usize(..self.queues.len());
                self.notify(at);
            }
        }
    }

    /// Mostly a ring that there is.
    fn any_index(&mut self) -> u32 {
        match self.rng.u8(..16) {
            0 => self.rng.u32(..),
            1 => self.rng.u32(..300),
            _ => self.any_queue().index.into(),
        }
    }

    /// Takes regions away and gives them back, one by one or all at once.
    fn change_memory(&mut self, mood: &mut Mood) {
        let regions = RAM.regions();
        let mut region = regions[self.rng.usize(..regions.len())];
        let choice = self.rng.u8(..6);
        if choice == 5 {
            region.size = self.rng.u64(..) >> self.rng.u8(..64);
        }
        let one = Payload::MemReg(MemReg { padding: 0, region });
        let file = self.ram.file().as_fd().try_clone_to_owned();
        let Ok(file) = file else { return };
        match choice {
            0 | 1 => self.say(mood, R::REM_MEM_REG, one, &[]),
            2 | 3 | 5 => self.say(mood, R::ADD_MEM_REG, one, &[file.as_fd()]),
            _ => {
                let some = &regions[self.rng.usize(..regions.len())..];
                let bytes = RegionBytes::new(some);
                let count = u32::try_from(some.len()).unwrap_or(0);
                let table = MemTable::new(count, Layout::default(), bytes.as_bytes());
                let fds = vec![file.as_fd(); some.len()];
                self.say(mood, R::SET_MEM_TABLE, Payload::MemTable(table), &fds);
            }
        }
    }

    /// Stops a ring, and mostly starts it again, where it was or anywhere.
    fn stop_and_go(&mut self, mood: &mut Mood) {
        let index = self.any_index();
        self.say(mood, R::GET_VRING_BASE, state(index, 0), &[]);
        if self.rng.bool() {
            let base = if self.rng.bool() { self.rng.u32(..0x1_0000) } else { self.rng.u32(..) };
            self.say(mood, R::SET_VRING_BASE, state(index, base), &[]);
        }
        if self.rng.u8(..4) > 0 {
            let kick = self.any_queue().kick.try_clone();
            let Ok(kick) = kick else { return };
            let payload = Payload::VringFd(VringFd(u64::from(index) & VringFd::INDEX_MASK));
            self.say(mood, R::SET_VRING_KICK, payload, &[kick.as_fd()]);
        }
    }

    fn toggle(&mut self, mood: &mut Mood) {
        for _ in 0..self.rng.u8(1..6) {
            let index = self.any_index();
            let num = self.rng.u32(..2);
            self.say(mood, R::SET_VRING_ENABLE, state(index, num), &[]);
        }
    }

    /// Says that a ring is somewhere else, or has another size.
    fn change_ring(&mut self, mood: &mut Mood) {
        let index = self.any_index();
        let mut addresses = self.any_queue().addresses();
        if self.rng.bool() {
            addresses = VringAddr { index, ..addresses };
        }
        let by = [1, 2, 8, 16, 0x1000, 1 << 21, 1 << 63][self.rng.usize(..7)];
        match self.rng.u8(..6) {
            0 => addresses.descriptor = addresses.descriptor.wrapping_add(by),
            1 => addresses.used = addresses.used.wrapping_sub(by),
            2 => addresses.available = addresses.available.wrapping_add(by),
            3 => (addresses.flags, addresses.log) = (VringAddr::LOG, by),
            4 => {
                let num = [0, 1, 2, 3, 16, 256, 512, 513, 32768, 65536][self.rng.usize(..10)];
                return self.say(mood, R::SET_VRING_NUM, state(index, num), &[]);
            }
            _ => {}
        }
        self.say(mood, R::SET_VRING_ADDR, Payload::Addr(addresses), &[]);
    }

    /// Hands over something else than a counter.
    fn odd_descriptor(&mut self, mood: &mut Mood) {
        let request = [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR][self.rng.usize(..3)];
        let index = u64::from(self.any_index()) & VringFd::INDEX_MASK;
        match odd_file(self.rng.u8(..7)) {
            Some(file) => {
                let payload = Payload::VringFd(VringFd(index));
                self.say(mood, request, payload, &[file.as_fd()]);
            }
            None => {
                let payload = Payload::VringFd(VringFd(index | VringFd::NO_FD));
                self.say(mood, request, payload, &[]);
            }
        }
    }

    /// What is about the device, and not about a ring.
    fn change_session(&mut self, mood: &mut Mood) {
        let features = self.plan.features ^ (1 << self.rng.u8(..64));
        match self.rng.u8(..7) {
            0 => self.say(mood, R::RESET_DEVICE, Payload::None, &[]),
            1 => self.say(mood, R::RESET_OWNER, Payload::None, &[]),
            2 => self.say(mood, R::SET_STATUS, Payload::U64(0), &[]),
            3 => self.say(mood, R::SET_FEATURES, Payload::U64(features), &[]),
            4 => {
                let Ok((ours, theirs)) = UnixStream::pair() else { return };
                self.say(mood, R::SET_BACKEND_REQ_FD, Payload::None, &[theirs.as_fd()]);
                self.talk.channel = self.rng.bool().then_some(ours);
            }
            5 => {
                let mtu = self.rng.u64(..70_000);
                self.say(mood, R::NET_SET_MTU, Payload::U64(mtu), &[]);
            }
            _ => self.talk.channel = None,
        }
    }

    /// Has its memory logged, in a file that may be too short.
    fn log(&mut self, mood: &mut Mood) {
        let size = [0, 1, 64, 4096][self.rng.usize(..4)];
        let Ok(log) = memfd_create(c"log", MemfdFlags::CLOEXEC) else { return };
        let _ = ftruncate(&log, size);
        let payload = Payload::Log(LogBase { size, offset: 0 });
        self.say(mood, R::SET_LOG_BASE, payload, &[log.as_fd()]);
        let features = self.plan.features | virtio::LOG_ALL;
        self.say(mood, R::SET_FEATURES, Payload::U64(features), &[]);
        mood.log = Some(log);
    }

    /// Opens connections that wait, and closes some of them.
    fn wait_in_line(&mut self, mood: &mut Mood, path: &Path, tally: &mut Tally) {
        let room = WAITING - mood.waiting.len();
        let count = self.rng.usize(..=room);
        let new = (0..count).map_while(|_| UnixStream::connect(path).ok());
        let before = mood.waiting.len();
        mood.waiting.extend(new);
        tally.waiting += (mood.waiting.len() - before) as u64;
    }

    /// Sends something that was a message once, with any descriptors.
    fn garbage(&mut self, mood: &mut Mood) {
        let mut input = vec![0; 4096 + HEADER_LEN];
        let seed = self.rng.u32(..);
        let capacity = input.len();
        let len = mutate::message(&mut input, 0, capacity, seed, &mut |_, size| size);
        let (message, context) = Context::split(&input[..len]);
        let files: Vec<OwnedFd> =
            (0..context.fds.min(MAX_FDS)).filter_map(|_| odd_file(self.rng.u8(..6))).collect();
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
        if !message.is_empty() {
            mood.is_over |= send(self.talk.stream.as_fd(), message, &fds).is_err();
        }
    }

    /// Acknowledges what nobody asked, on the back-end channel.
    fn answer_anything(&mut self) {
        let Some(channel) = &self.talk.channel else { return };
        let words = [4, 5, 8, self.rng.u32(..2), 0];
        let _ = send(channel.as_fd(), words.map(u32::to_ne_bytes).as_flattened(), &[]);
    }

    /// Shortens a file that the back-end has mapped (HZ-46).
    fn shorten(&mut self, mood: &mut Mood, tally: &mut Tally) {
        let is_done = match &mood.log {
            Some(log) if self.rng.bool() => ftruncate(log, 0).is_ok(),
            _ => {
                mood.is_short = true;
                ftruncate(self.ram.file(), 0).is_ok()
            }
        };
        tally.shortened += u64::from(is_done);
        for at in 0..self.queues.len() {
            self.notify(at);
        }
    }

    /// Says good-bye, or not even that.
    fn leave(&mut self, mood: &mut Mood, tally: &mut Tally) {
        if self.rng.u8(..10) == 0 {
            self.shorten(mood, tally);
        }
        if self.rng.u8(..3) > 0 {
            return;
        }
        // In the middle of a message, with descriptors that nobody will take.
        let message = Message::frontend(R::SET_MEM_TABLE, Payload::U64(0));
        let mut bytes = [0; HEADER_LEN + 8];
        if let Ok(len) = message.encode(&mut bytes) {
            let cut = self.rng.usize(1..len);
            let fd = self.ram.file().as_fd();
            let _ = send(self.talk.stream.as_fd(), &bytes[..cut], &[fd; 3]);
        }
    }

    /// Sends a request, legal or not, and does not care for the reply.
    fn say(&mut self, mood: &mut Mood, request: R, payload: Payload<'_>, fds: &[BorrowedFd<'_>]) {
        if mood.is_over {
            return;
        }
        let mut message = Message::frontend(request, payload);
        if self.rng.bool() {
            message = message.with_need_reply();
        }
        let mut bytes = vec![0; message.encoded_len()];
        if let Ok(len) = message.encode(&mut bytes) {
            mood.is_over |= send(self.talk.stream.as_fd(), &bytes[..len], fds).is_err();
        }
    }

    /// Throws replies and calls away, so that nobody waits until they are read.
    fn drain(&mut self) {
        let mut bytes = [0; 4096];
        let sockets = std::iter::once(&self.talk.stream).chain(&self.talk.channel);
        for socket in sockets {
            while recv(socket, &mut bytes, RecvFlags::DONTWAIT).is_ok_and(|(len, _)| len > 0) {}
        }
    }
}

fn state<'p>(index: u32, num: u32) -> Payload<'p> {
    Payload::State(VringState { index, num })
}

/// A descriptor that is no counter, or one that is full; nothing for other numbers.
fn odd_file(kind: u8) -> Option<OwnedFd> {
    match kind {
        0 => rustix::pipe::pipe().ok().map(|(reader, _)| reader),
        1 => rustix::pipe::pipe().ok().map(|(_, writer)| writer),
        2 => std::fs::File::open("/dev/zero").ok().map(OwnedFd::from),
        3 => {
            let file = memfd_create(c"odd", MemfdFlags::CLOEXEC).ok()?;
            ftruncate(&file, 64).ok()?;
            Some(file)
        }
        4 => UnixStream::pair().ok().map(|(one, _)| one.into()),
        5 => {
            let full = eventfd(0, EventfdFlags::CLOEXEC).ok()?;
            rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).ok()?;
            Some(full)
        }
        _ => None,
    }
}
