//! A guest: batches of frames to a device behind a socket.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{read, retry_on_intr, write};
use vhost_fuzz_benches::packets::{BUFFER_LEN, Driver, Memory, Queue, SIZE};
use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_harness::guest::parse;

use crate::frames::Kind;
use crate::front_end::{Events, FrontEnd};

/// Bytes in front of a frame: a header that says nothing, with the number of buffers.
const HEADER_LEN: usize = 12;

/// How long a device may take for a batch.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// A queue as its driver has it.
struct Port {
    driver: Driver,
    events: Events,
}

impl Port {
    /// Makes buffers available, and kicks the device if it wants that.
    #[inline]
    fn arm(&mut self, count: u16) {
        self.driver.arm(count);
        if self.driver.is_kick_wanted() {
            let kicked = write(&self.events.kick, &1_u64.to_ne_bytes());
            assert_eq!(kicked, Ok(8), "a kick");
        }
    }

    /// Takes back `count` buffers in which the device has written so many bytes each. Sleeps until
    /// all of them are used, unless they are.
    #[inline]
    fn wait(&mut self, count: u16, written: u32) {
        let mut left = count - self.driver.reap(written);
        while left > 0 {
            if !self.driver.want_call(left) {
                sleep(&self.events.call);
            }
            left -= self.driver.reap(written);
            self.driver.want_no_call();
        }
    }
}

/// Waits for a call.
fn sleep(call: &OwnedFd) {
    let mut fds = [PollFd::new(call, PollFlags::IN)];
    let woken = retry_on_intr(|| poll(&mut fds, Some(&PATIENCE))).expect("an eventfd");
    assert_eq!(woken, 1, "the device does nothing");
    let heard = read(call, &mut [0; 8]);
    assert_eq!(heard, Ok(8), "a call");
}

/// A guest with one pair of queues, all of whose transmit buffers have the same frame.
pub(crate) struct Guest {
    memory: Memory,
    receive: Port,
    transmit: Port,
    data: Vec<u8>,
    /// Bytes of a reply with its header, if there are replies.
    reply: Option<u32>,
    /// The device serves as long as the socket is open.
    _front_end: FrontEnd,
}

impl Guest {
    /// Starts both queues of the back-end at a socket, and makes all receive buffers available.
    pub(crate) fn new(stream: UnixStream, layout: Layout, kind: Kind, len: usize) -> Self {
        let file: File = memfd_create("guest", MemfdFlags::CLOEXEC).expect("a file").into();
        let memory = Memory::new(file.try_clone().expect("a descriptor")).expect("memory");
        let (frame, data) = kind.frame(len);
        let sent = [&[0; HEADER_LEN][..], &frame].concat();
        let sent_len = u32::try_from(sent.len()).expect("a short frame");
        let room = u32::try_from(BUFFER_LEN).expect("a short buffer");
        let mut front_end = FrontEnd::new(stream, layout, file.as_fd());
        let [receive, transmit] = Queue::BOTH.map(|queue| {
            let len = if queue == Queue::Receive { room } else { sent_len };
            let driver = Driver::new(&memory, queue, layout, len);
            let events = front_end.start(queue, &driver);
            Port { driver, events }
        });
        for slot in 0..SIZE {
            memory.write(Queue::Transmit, slot, &sent);
        }
        let reply = (kind == Kind::Echo).then_some(sent_len);
        let mut guest = Self { memory, receive, transmit, data, reply, _front_end: front_end };
        guest.receive.arm(SIZE);
        guest
    }

    /// Sends so many frames at once; gets the replies, if there are any, and then the buffers of
    /// the frames. The receive buffers are the device's again at the end.
    #[inline]
    pub(crate) fn batch(&mut self, count: u16) {
        self.transmit.arm(count);
        if let Some(reply) = self.reply {
            self.receive.wait(count, reply);
            self.receive.arm(count);
        }
        self.transmit.wait(count, 0);
    }

    /// Sends a frame from each transmit buffer. Sees that a right reply is in each receive buffer,
    /// or that there is none at all; gives the first.
    pub(crate) fn check(&mut self) -> Option<Vec<u8>> {
        for slot in 0..SIZE {
            self.memory.write(Queue::Receive, slot, &[0xa5; BUFFER_LEN]);
        }
        self.batch(SIZE);
        let mut replies = (0..SIZE).map(|slot| {
            let mut bytes = vec![0; self.reply.map_or(BUFFER_LEN, |len| len as usize)];
            self.memory.read(Queue::Receive, slot, &mut bytes);
            bytes
        });
        if self.reply.is_none() {
            assert!(replies.all(|bytes| bytes == [0xa5; BUFFER_LEN]), "nobody answers");
            return None;
        }
        let mut replies = replies.inspect(|reply| {
            let (header, frame) = reply.split_at(HEADER_LEN);
            assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "the header of a reply");
            assert_eq!(parse::echo_reply(frame), Some(self.data.clone()), "a reply");
        });
        let first = replies.next().expect("a reply");
        assert!(replies.all(|reply| reply == first), "all replies are the same");
        Some(first)
    }
}
