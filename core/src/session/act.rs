//! From a decoded request to the code that acts on it.

use arrayvec::ArrayVec;

use super::answer::{Asked, Next};
use super::{Refusal, RingChange, Session};
use crate::vhost_user::request::{self, Row};
use crate::vhost_user::{Channel, Flags, FrontendRequest as R, MAX_FDS, Message, Payload};

/// The descriptors of a message.
pub(super) type Fds<F> = ArrayVec<F, MAX_FDS>;

impl<F, M> Session<F, M> {
    /// What a request is owed.
    #[inline]
    pub(super) fn asked(&self, code: u32, flags: &Flags, payload: Payload<'_>) -> Asked {
        let row = row(code);
        let is_data = self.is_conditional_data(R(code));
        let asked = Asked::new(row, code, *flags, self.negotiated.has_reply_ack(), is_data);
        // The acknowledgement of a postcopy table is never answered itself (spec §6.10 step 4).
        if R(code) == R::SET_MEM_TABLE && matches!(payload, Payload::None | Payload::U64(_)) {
            return Asked { due: super::Due::Nothing, ..asked };
        }
        asked
    }

    /// Whether a request with a conditional reply (R-cond) is answered with data now.
    #[inline]
    pub(super) const fn is_conditional_data(&self, code: R) -> bool {
        match code {
            R::SET_MEM_TABLE => self.postcopy.answers_tables(), // VU-130
            R::SET_LOG_BASE => self.layout().log_shmfd,         // VU-029
            // Bit 15 excludes postcopy, so ADD_MEM_REG is never answered with a region (VU-173).
            _ => false,
        }
    }

    /// Acts on a legal message: gate, then ranges, then state (spec §1.7 step 4).
    #[inline]
    pub(super) fn act<'a>(
        &mut self,
        message: &Message<'a>,
        mut fds: Fds<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        let code = message.code;
        let Some(row) = row(code) else {
            return Err(Refusal::UnknownRequest { code }); // VU-012
        };
        if !row.gate.lets_in(&self.negotiated) {
            return Err(Refusal::Gate { code, rule: row.gate.rule(&self.negotiated) });
        }
        let fd = fds.pop_at(0);
        match (R(code), message.payload) {
            (R::SET_VRING_ADDR, Payload::Addr(addr)) => self.set_vring_addr(addr),
            (R::SET_VRING_NUM, Payload::State(state)) => self.set_vring_num(state),
            (R::SET_VRING_BASE, Payload::State(state)) => self.set_vring_base(state),
            (R::GET_VRING_BASE, Payload::State(state)) => self.get_vring_base(state, true),
            (R::GET_VRING_BASE_SKIP_DRAIN, Payload::State(state)) => {
                self.get_vring_base(state, false)
            }
            (R::SET_VRING_KICK, Payload::VringFd(vring)) => self.set_vring_kick(vring, fd),
            (R::SET_VRING_CALL, Payload::VringFd(vring)) => {
                self.set_signal(vring, fd, RingChange::Call, |ring| &mut ring.call)
            }
            (R::SET_VRING_ERR, Payload::VringFd(vring)) => {
                self.set_signal(vring, fd, RingChange::Err, |ring| &mut ring.err)
            }
            (R::SET_VRING_ENABLE, Payload::State(state)) => self.set_vring_enable(state),
            (R::SET_VRING_ENDIAN, Payload::State(state)) => self.set_vring_endian(state),
            (R::VRING_KICK, Payload::State(state)) => self.vring_kick(state),
            (R::SET_MEM_TABLE, Payload::MemTable(table)) => {
                fds.extend(fd);
                fds.rotate_right(1);
                self.set_mem_table(&table, fds)
            }
            (R::SET_MEM_TABLE, Payload::None | Payload::U64(_)) => self.postcopy_acknowledged(),
            (R::ADD_MEM_REG, Payload::MemReg(reg)) => self.add_mem_reg(reg.region, fd),
            (R::REM_MEM_REG, Payload::MemReg(reg)) => {
                drop(fd); // VU-142
                self.rem_mem_reg(&reg.region)
            }
            (R::SET_LOG_BASE, Payload::Log(log)) => self.set_log_base(log, fd),
            (R::IOTLB_MSG, Payload::Iotlb(iotlb)) => self.iotlb_msg(&iotlb),
            (R::GET_INFLIGHT_FD, Payload::Inflight(wanted)) => self.get_inflight_fd(wanted),
            (R::SET_INFLIGHT_FD, Payload::Inflight(area)) => self.set_inflight_fd(area, fd),
            (R::GET_CONFIG, Payload::Config(window)) => self.get_config(&window),
            (R::SET_CONFIG, Payload::Config(window)) => self.set_config(&window),
            (request, payload) => self.act_rarely(request, payload, fd),
        }
    }

    /// The requests that a connection sees once or twice.
    #[inline(never)]
    fn act_rarely<'a>(
        &mut self,
        request: R,
        payload: Payload<'a>,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        match (request, payload) {
            (R::GET_FEATURES, _) => Ok(self.number(self.offer.features)), // VU-037
            (R::SET_FEATURES, Payload::U64(bits)) => self.set_features(bits),
            (R::GET_PROTOCOL_FEATURES, _) => Ok(self.number(self.offer.protocol_features)),
            (R::SET_PROTOCOL_FEATURES, Payload::U64(bits)) => self.set_protocol_features(bits),
            (R::SET_OWNER, _) => self.set_owner(),
            (R::RESET_OWNER, _) => Ok(self.reset_owner()),
            (R::GET_QUEUE_NUM, _) => Ok(self.number(self.offer.queue_num)), // VU-114, VU-267
            (R::GET_MAX_MEM_SLOTS, _) => Ok(self.number(self.offer.max_mem_slots.into())),
            (R::GET_STATUS, _) => Ok(self.number(self.status.into())),
            (R::SET_LOG_BASE, _) => Ok(Next::Success), // without LOG_SHMFD: no usable log (DV-75)
            (R::SET_LOG_FD, _) => {
                self.log_fd = fd;
                Ok(Next::Success)
            }
            (R::SEND_RARP, Payload::U64(mac)) => self.send_rarp(mac),
            (R::NET_SET_MTU, Payload::U64(mtu)) => self.net_set_mtu(mtu),
            (R::SET_BACKEND_REQ_FD, _) => self.set_backend_req_fd(fd),
            (R::GPU_SET_SOCKET, _) => self.gpu_set_socket(fd),
            (R::CREATE_CRYPTO_SESSION, Payload::Crypto(session)) => self.create_crypto(session),
            (R::CLOSE_CRYPTO_SESSION, Payload::U64(id)) => self.close_crypto(id),
            (R::POSTCOPY_ADVISE, _) => self.postcopy_advise(),
            (R::POSTCOPY_LISTEN, _) => self.postcopy_listen(),
            (R::POSTCOPY_END, _) => self.postcopy_end(),
            (R::RESET_DEVICE, _) => self.reset_device(),
            (R::SET_STATUS, Payload::U64(status)) => self.set_status(status),
            (R::GET_SHARED_OBJECT, Payload::Shared(object)) => self.get_shared_object(object.uuid),
            (R::GET_SHARED_OBJECT, _) => Ok(self.answer(Payload::None)), // DV-20
            (R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer)) => {
                self.set_device_state_fd(transfer, fd)
            }
            (R::CHECK_DEVICE_STATE, _) => self.check_device_state(),
            (R::GET_SHMEM_CONFIG, _) => Ok(self.get_shmem_config()),
            // Every request with a row is above; decoding fixes its payload.
            (R(code), _) => Err(Refusal::UnknownRequest { code }),
        }
    }

    /// The reply of the request that is being worked on.
    #[inline]
    pub(super) fn answer<'a>(&mut self, payload: Payload<'_>) -> Next<'a, F> {
        Next::Answer(self.buffer.put(self.asked.code, payload), None)
    }

    /// The same with a number.
    #[inline]
    pub(super) fn number<'a>(&mut self, number: u64) -> Next<'a, F> {
        self.answer(Payload::U64(number))
    }
}

#[inline]
fn row(code: u32) -> Option<&'static Row> {
    request::row(Channel::Main, code)
}
