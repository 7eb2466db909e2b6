//! Requests that the device answers: status, reset, transfer, channels, crypto and the rest.

use super::answer::{Next, crypto};
use super::effect::Effect;
use super::pending::Work;
use super::{Refusal, Session};
use crate::vhost_user::payload::{CryptoSession, ShmemConfig, Transfer};
use crate::vhost_user::{FrontendRequest as R, Payload};

/// The MTUs that are valid: IPv4's least, and what 16 bits hold (spec §3.1 note 20).
const MTU: std::ops::RangeInclusive<u64> = 68..=65535;

/// Bit 8 of the reply to a transfer: use your own descriptor (VU-161).
const NO_FD: u64 = 0x100;

impl<F, M> Session<F, M> {
    /// Asks for an effect that only succeeds or fails.
    fn simply<'a>(&mut self, effect: Effect<'a, F>) -> Result<Next<'a, F>, Refusal> {
        self.work = Work::Nothing;
        Ok(Next::Need(effect))
    }

    pub(super) fn send_rarp<'a>(&mut self, mac: u64) -> Result<Next<'a, F>, Refusal> {
        let [a, b, c, d, e, f, _, _] = mac.to_ne_bytes(); // VU-198: the first bytes of the payload
        self.simply(Effect::Rarp { mac: [a, b, c, d, e, f] })
    }

    pub(super) fn net_set_mtu<'a>(&mut self, mtu: u64) -> Result<Next<'a, F>, Refusal> {
        match u16::try_from(mtu) {
            Ok(bytes) if MTU.contains(&mtu) => self.simply(Effect::Mtu { mtu: bytes }),
            _ => Err(Refusal::Mtu { mtu }), // VU-200
        }
    }

    pub(super) fn set_backend_req_fd<'a>(&mut self, fd: Option<F>) -> Result<Next<'a, F>, Refusal> {
        let Some(fd) = fd else { return Ok(Next::Success) }; // decoding demands one (VU-202)
        self.work = Work::OpenChannel;
        Ok(Next::Need(Effect::OpenChannel { fd }))
    }

    pub(super) fn gpu_set_socket<'a>(&mut self, fd: Option<F>) -> Result<Next<'a, F>, Refusal> {
        let Some(fd) = fd else { return Ok(Next::Success) }; // decoding demands one (VU-250)
        self.simply(Effect::GpuSocket { fd })
    }

    pub(super) fn create_crypto<'a>(
        &mut self,
        session: CryptoSession<'a>,
    ) -> Result<Next<'a, F>, Refusal> {
        self.work = Work::CreateCrypto;
        Ok(Next::Need(Effect::CreateCrypto { session }))
    }

    pub(super) fn crypto_created<'a>(&mut self, id: i64) -> Next<'a, F> {
        self.answer(Payload::Crypto(CryptoSession::new(&crypto(id)))) // VU-248
    }

    pub(super) fn close_crypto<'a>(&mut self, id: u64) -> Result<Next<'a, F>, Refusal> {
        self.simply(Effect::CloseCrypto { id })
    }

    pub(super) fn reset_device<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.work = Work::Reset;
        Ok(Next::Need(Effect::Reset))
    }

    /// VU-222, VU-223. What belongs to the connection stays: protocol features, ownership
    /// (VU-224), memory, log and channel (DC-019).
    pub(super) fn device_was_reset<'a>(&mut self) -> Next<'a, F> {
        self.rings.iter_mut().for_each(super::Ring::reset);
        self.started = 0;
        self.negotiated.virtio = None;
        self.status = 0;
        self.iotlb.clear();
        self.inflight = None;
        self.is_transferring = false;
        Next::Success
    }

    /// VU-227. Values are stored without a look at the order: front-ends write `FEATURES_OK`
    /// before `ACKNOWLEDGE`, or never 0 (DV-41, DV-74).
    pub(super) fn set_status<'a>(&mut self, status: u64) -> Result<Next<'a, F>, Refusal> {
        let status = u8::try_from(status).map_err(|_| Refusal::Status { status })?;
        self.work = Work::Status { status };
        Ok(Next::Need(Effect::Status { status }))
    }

    pub(super) fn get_shared_object<'a>(&mut self, uuid: [u8; 16]) -> Result<Next<'a, F>, Refusal> {
        self.work = Work::SharedObject;
        Ok(Next::Need(Effect::SharedObject { uuid }))
    }

    pub(super) fn object_found<'a>(&mut self, fd: Option<F>) -> Next<'a, F> {
        Next::Answer(self.buffer.put(R::GET_SHARED_OBJECT, Payload::None), fd) // VU-229
    }

    pub(super) fn set_device_state_fd<'a>(
        &mut self,
        transfer: Transfer,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        let Transfer { direction, phase } = transfer;
        let is_known = [Transfer::SAVE, Transfer::LOAD].contains(&direction);
        if !is_known || phase != Transfer::STOPPED {
            return Err(Refusal::TransferParameters { direction, phase }); // VU-165
        }
        if let Some(index) = self.first_started() {
            return Err(Refusal::TransferWhileStarted { index }); // VU-166
        }
        let Some(fd) = fd else { return Ok(Next::Success) }; // decoding demands one (VU-159)
        self.work = Work::Transfer;
        Ok(Next::Need(Effect::Transfer { direction, fd }))
    }

    pub(super) fn transfer_begun<'a>(&mut self, fd: Option<F>) -> Next<'a, F> {
        self.is_transferring = true;
        let value = if fd.is_some() { 0 } else { NO_FD };
        Next::Answer(self.buffer.put(R::SET_DEVICE_STATE_FD, Payload::U64(value)), fd)
    }

    pub(super) fn check_device_state<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        if !self.is_transferring {
            return Err(Refusal::NoTransfer); // VU-170
        }
        self.work = Work::CheckTransfer;
        Ok(Next::Need(Effect::CheckTransfer)) // VU-171
    }

    pub(super) fn get_shmem_config<'a>(&mut self) -> Next<'a, F> {
        let regions = self.offer.shmem_regions(); // VU-240
        let config = ShmemConfig { regions, padding: 0, sizes: &self.shmem };
        Next::Answer(self.buffer.put(R::GET_SHMEM_CONFIG, Payload::ShmemConfig(config)), None)
    }
}
