//! Back-ends on a socket that make one mistake each in how they answer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use vhost_fuzz_core::session::Reply;
use vhost_fuzz_core::vhost_user::Flags;

use crate::socket::{AsItIs, Delivery, Head, send};

/// Acknowledges every request that nobody asked to acknowledge (VU-027).
#[derive(Clone, Copy, Debug)]
pub struct AcksUnasked;

impl Delivery for AcksUnasked {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        if reply.is_some() {
            return AsItIs.deliver(socket, request, reply);
        }
        let mut ack = [0; 20];
        for (word, value) in ack.as_chunks_mut().0.iter_mut().zip([request.code, 5, 8]) {
            *word = u32::to_ne_bytes(value);
        }
        send(socket, &ack, &[])
    }
}

/// Leaves `need_reply` set in replies to requests that had it (VU-008, DV-03).
#[derive(Clone, Copy, Debug)]
pub struct KeepsNeedReply;

impl Delivery for KeepsNeedReply {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        let Some(Reply { bytes, fd, refusal }) = reply else { return Ok(()) };
        let mut bytes = bytes.to_vec();
        if let Some(flags) = bytes.get_mut(4)
            && request.flags & Flags::NEED_REPLY_BIT != 0
        {
            *flags = 0xd;
        }
        AsItIs.deliver(socket, request, Some(Reply { bytes: &bytes, fd, refusal }))
    }
}

/// Sends no reply to `GET_VRING_BASE` (VU-028).
#[derive(Clone, Copy, Debug)]
pub struct DropsReplies;

impl Delivery for DropsReplies {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        const GET_VRING_BASE: u32 = 11;
        if request.code == GET_VRING_BASE {
            return Ok(());
        }
        AsItIs.deliver(socket, request, reply)
    }
}

/// Acknowledges success whatever it refused (VU-033, DV-02).
#[derive(Clone, Copy, Debug)]
pub struct NeverSaysNo;

impl Delivery for NeverSaysNo {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        let Some(Reply { bytes, fd, refusal }) = reply else { return Ok(()) };
        let mut bytes = bytes.to_vec();
        if refusal.is_some() && bytes.len() == 20 {
            bytes[12..].fill(0);
        }
        AsItIs.deliver(socket, request, Some(Reply { bytes: &bytes, fd, refusal }))
    }
}

/// Forgets the descriptor of a reply (VU-179).
#[derive(Clone, Copy, Debug)]
pub struct ForgetsFds;

impl Delivery for ForgetsFds {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        let reply = reply.map(|reply| Reply { fd: None, ..reply });
        AsItIs.deliver(socket, request, reply)
    }
}

/// Sends each reply twice (VU-010).
#[derive(Clone, Copy, Debug)]
pub struct RepliesTwice;

impl Delivery for RepliesTwice {
    fn deliver(
        &mut self,
        socket: BorrowedFd<'_>,
        _: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        let Some(Reply { bytes, fd, .. }) = reply else { return Ok(()) };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        send(socket, bytes, &fds)?;
        send(socket, bytes, &fds)
    }
}
