//! A front-end that keeps every rule, and judges every reply.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{Frontend, Setup, SharedObjects};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::{
    Inflight, MemTable, RegionBytes, VringAddr, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::request::ReplyClass;
use vhost_fuzz_core::vhost_user::{
    Frame, FrontendRequest as R, Kind, Layout, MAX_FDS, Message, Payload,
};
use vhost_fuzz_world::ram::Shared;

use super::wire::{PATIENCE, Wire};

/// A reply that was found to be right.
#[derive(Debug)]
pub(crate) struct Answer {
    request: R,
    bytes: Vec<u8>,
    has_fd: bool,
    layout: Layout,
    pub(crate) is_success: bool,
    pub(crate) fd: Option<OwnedFd>,
}

impl Answer {
    /// What it says.
    fn payload(&self) -> Result<Payload<'_>> {
        let fds = usize::from(self.has_fd);
        let message = Message::decode(Kind::BACKEND_REPLY, self.layout, &self.bytes, fds);
        Ok(message.map_err(|error| anyhow!("{:?}: {error}", self.request))?.payload)
    }

    /// # Errors
    /// The back-end refuses.
    pub(crate) fn success(self) -> Result<Self> {
        ensure!(self.is_success, "{:?} was refused", self.request);
        Ok(self)
    }

    /// # Errors
    /// It is none.
    pub(crate) fn number(&self) -> Result<u64> {
        match self.payload()? {
            Payload::U64(number) => Ok(number),
            other => bail!("{:?} is answered with {other:?}", self.request),
        }
    }

    /// Where a ring is.
    ///
    /// # Errors
    /// It tells no such thing.
    pub(crate) fn state(&self) -> Result<VringState> {
        match self.payload()? {
            Payload::State(state) => Ok(state),
            other => bail!("{:?} is answered with {other:?}", self.request),
        }
    }

    /// A window of the configuration space.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn config(&self) -> Result<Vec<u8>> {
        match self.payload()? {
            Payload::Config(config) => Ok(config.data().to_vec()),
            other => bail!("{:?} is answered with {other:?}", self.request),
        }
    }

    /// An in-flight area.
    ///
    /// # Errors
    /// It is none, or without a descriptor.
    pub(crate) fn inflight(mut self) -> Result<(Inflight, OwnedFd)> {
        let fd = self.fd.take().context("an area without a descriptor")?;
        match self.payload()? {
            Payload::Inflight(area) => Ok((area, fd)),
            other => bail!("{:?} is answered with {other:?}", self.request),
        }
    }
}

/// A strict front-end on the main channel. Requests are acknowledged as soon as that was chosen.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    pub(crate) wire: Wire,
    strict: Frontend<OwnedFd, ()>,
    objects: SharedObjects,
}

impl FrontEnd {
    /// Connects to a back-end that listens.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        Self::connect_within(path, PATIENCE)
    }

    /// The same, with a back-end that may take so long for a message.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) fn connect_within(path: &Path, patience: Duration) -> Result<Self> {
        let setup =
            Setup { owner: 1, queues: 256, max_regions: 8, max_mappings: 1, page_size: 4096 };
        let wire = Wire::connect_within(path, patience)?;
        Ok(Self { wire, strict: Frontend::new(setup), objects: SharedObjects::new(1) })
    }

    /// Chooses features and protocol features of those that are offered, and becomes the owner.
    ///
    /// # Errors
    /// The back-end does not do as it should.
    pub(crate) fn negotiate(&mut self, features: u64, protocol: u64) -> Result<()> {
        let features = self.number(R::GET_FEATURES)? & features;
        if features & virtio::PROTOCOL_FEATURES != 0 {
            let protocol = self.number(R::GET_PROTOCOL_FEATURES)? & protocol;
            self.must(R::SET_PROTOCOL_FEATURES, Payload::U64(protocol), &[])?;
        }
        self.must(R::SET_FEATURES, Payload::U64(features), &[])?;
        self.must(R::SET_OWNER, Payload::None, &[])
    }

    /// The features that were negotiated, and the protocol features.
    pub(crate) fn negotiated(&self) -> (u64, u64) {
        let negotiated = self.strict.negotiated();
        (negotiated.virtio.unwrap_or(0), negotiated.protocol)
    }

    /// Sends a request, and waits for the reply if one comes.
    ///
    /// # Errors
    /// No front-end may send it, or the back-end breaks a rule. That it refuses is none.
    pub(crate) fn ask(
        &mut self,
        request: R,
        payload: Payload<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Option<Answer>> {
        let plain = Message::frontend(request, payload);
        let Self { wire, strict, objects } = self;
        // Who asks for an acknowledgement of a request that has an answer gets the answer, in which
        // a library in use leaves the flag as it was: then it is no legal one.
        let is_answered = plain.row().is_some_and(|row| row.reply.class == ReplyClass::Data);
        let is_acknowledged = !is_answered
            && strict.negotiated().has_reply_ack()
            && request != R::SET_PROTOCOL_FEATURES;
        let message = if is_acknowledged { plain.with_need_reply() } else { plain };
        let bytes = strict.send(&message, fds.len(), objects);
        let bytes = bytes.map_err(|error| anyhow!("{request:?} may not be sent: {error}"))?;
        wire.bytes(bytes, fds).with_context(|| format!("{request:?}"))?;
        if strict.awaited() == 0 {
            return Ok(None);
        }
        let received = wire.receive().with_context(|| format!("{request:?}"))?;
        let received =
            received.with_context(|| format!("{request:?}: the connection was closed"))?;
        let has_fd = !received.fds.is_empty();
        let mut handed = ArrayVec::<_, MAX_FDS>::new();
        for fd in received.fds {
            ensure!(handed.try_push(fd).is_ok(), "{request:?}: there are too many descriptors");
        }
        let frame = Frame { kind: Kind::BACKEND_REPLY, bytes: &received.bytes, fds: handed };
        let layout = strict.layout();
        let answer = strict.on_reply(frame);
        let answer = answer.map_err(|error| anyhow!("{request:?}: the reply is wrong: {error}"))?;
        let (is_success, fd) = (answer.is_success, answer.fd);
        Ok(Some(Answer { request, bytes: received.bytes, has_fd, layout, is_success, fd }))
    }

    /// The same, when the answer is needed.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); there is none, or it is a refusal.
    pub(crate) fn get(
        &mut self,
        request: R,
        payload: Payload<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer> {
        let answer = self.ask(request, payload, fds)?;
        answer.with_context(|| format!("{request:?} is not answered"))?.success()
    }

    /// The same, when only a refusal is of interest.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), or a refusal.
    pub(crate) fn must(
        &mut self,
        request: R,
        payload: Payload<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<()> {
        self.ask(request, payload, fds)?.map_or(Ok(()), |answer| answer.success().map(drop))
    }

    /// Asks for a number.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn number(&mut self, request: R) -> Result<u64> {
        self.get(request, Payload::None, &[])?.number()
    }

    /// Sends a number about a ring.
    ///
    /// # Errors
    /// As [`must`](Self::must).
    pub(crate) fn state(&mut self, request: R, index: u32, num: u32) -> Result<()> {
        self.must(request, Payload::State(VringState { index, num }), &[])
    }

    /// Stops a ring; where it was.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn stop(&mut self, index: u32) -> Result<u32> {
        let state = VringState { index, num: 0 };
        Ok(self.get(R::GET_VRING_BASE, Payload::State(state), &[])?.state()?.num)
    }

    /// Sends a descriptor for a ring.
    ///
    /// # Errors
    /// As [`must`](Self::must).
    pub(crate) fn vring_fd(&mut self, request: R, index: u8, fd: &OwnedFd) -> Result<()> {
        self.must(request, Payload::VringFd(VringFd(index.into())), &[fd.as_fd()])
    }

    /// Hands the memory of a guest over.
    ///
    /// # Errors
    /// As [`must`](Self::must).
    pub(crate) fn share_memory(&mut self, ram: &Shared) -> Result<()> {
        let regions = ram.layout().regions();
        let bytes = RegionBytes::new(&regions);
        let count = u32::try_from(regions.len())?;
        let table = MemTable::new(count, Layout::default(), bytes.as_bytes());
        let fds = vec![ram.file().as_fd(); regions.len()];
        self.must(R::SET_MEM_TABLE, Payload::MemTable(table), &fds)
    }

    /// Sets a ring up, starts it with its kick and enables it.
    ///
    /// # Errors
    /// As [`must`](Self::must).
    pub(crate) fn set_ring(
        &mut self,
        addresses: VringAddr,
        (size, base): (u16, u32),
        [kick, call]: [&OwnedFd; 2],
    ) -> Result<()> {
        let index = addresses.index;
        let number = u8::try_from(index)?;
        self.state(R::SET_VRING_NUM, index, size.into())?;
        self.state(R::SET_VRING_BASE, index, base)?;
        self.must(R::SET_VRING_ADDR, Payload::Addr(addresses), &[])?;
        self.vring_fd(R::SET_VRING_CALL, number, call)?;
        self.vring_fd(R::SET_VRING_KICK, number, kick)?;
        self.state(R::SET_VRING_ENABLE, index, 1)
    }
}
