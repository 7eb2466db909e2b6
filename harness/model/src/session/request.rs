//! What each request asks for (spec §3): the plain ones are here, the others one call away.

use super::reply::four;
use super::{Backend, Effect, Fault, Request, Result, Step, Waiting, bit, index_of};
use crate::Id;
use crate::vhost_user::number;

impl Backend {
    /// Serves a request that is well formed and whose gate is open.
    pub(super) fn act(&mut self, request: Request, body: &[u8], regions: usize) -> Result<Step> {
        match request.code {
            1 => Ok(request.reply_number(self.offer.features)),
            2 => self.set_features(request, number(body, 0, 8)),
            // Any number of times, at any time.
            3 => Ok(request.success()),
            4 => {
                // VU-056, VU-057.
                for ring in &mut self.rings {
                    ring.enabled = false;
                }
                Ok(request.success())
            }
            5 => self.set_mem_table(request, body, regions),
            6 => self.set_log_base(request, body),
            7 => {
                self.has_log_fd = true;
                Ok(request.success())
            }
            8..=14 | 18 | 23 | 35 | 45 => self.ring_request(request, body),
            15 => Ok(request.reply_number(self.offer.protocol_features)),
            16 => self.set_protocol_features(request, number(body, 0, 8)),
            17 => Ok(request.reply_number(self.offer.queue_num)),
            22 => self.iotlb(request, body),
            24 => self.get_config(request, body),
            25 => self.set_config(request, body),
            28 => self.postcopy_advise(request),
            29 => self.postcopy_listen(request),
            30 => self.postcopy_end(request),
            31 => self.get_inflight_fd(request, body),
            32 => self.set_inflight_fd(request, body),
            36 => Ok(request.reply_number(self.offer.max_mem_slots)),
            37 => self.add_mem_reg(request, body),
            38 => self.rem_mem_reg(request, body),
            40 => Ok(request.reply_number(self.status)),
            42 => self.set_device_state_fd(request, body),
            43 => self.check_device_state(request),
            44 => Ok(self.shmem_config(request)),
            _ => self.act_outside(request, body),
        }
    }

    /// Requests that somebody else carries out and of which little is kept.
    fn act_outside(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (waiting, effect) = match request.code {
            19 => {
                // VU-198.
                let mac = *body.first_chunk().expect("P-U64 has eight bytes");
                (Waiting::Ack, Effect::Rarp(mac))
            }
            20 => {
                let mtu = number(body, 0, 8);
                if !(68..=65535).contains(&mtu) {
                    return Err(Id::Vu(200).into());
                }
                (Waiting::Ack, Effect::Mtu(mtu))
            }
            21 => (Waiting::Channel, Effect::OpenChannel),
            26 => (Waiting::Crypto, Effect::CreateCrypto),
            27 => (Waiting::Ack, Effect::CloseCrypto(number(body, 0, 8))),
            33 => (Waiting::Ack, Effect::GpuSocket),
            34 => (Waiting::Reset, Effect::Reset),
            39 => {
                let status = number(body, 0, 8);
                if status > 255 {
                    return Err(Id::Vu(227).into());
                }
                (Waiting::Status(status), Effect::Status(status))
            }
            41 => {
                // DV-20: QEMU does not say which.
                let Some(uuid) = body.first_chunk() else {
                    return Ok(request.reply(&[]));
                };
                (Waiting::SharedObject, Effect::SharedObject(*uuid))
            }
            _ => return Err(Id::Vu(12).into()),
        };
        Ok(self.need(request, waiting, effect))
    }

    fn set_features(&mut self, request: Request, features: u64) -> Result<Step> {
        if features & !self.offer.features != 0 {
            return Err(Id::Vu(41).into());
        }
        let changed = features ^ self.virtio.unwrap_or(0);
        if self.any_started() && changed & !(1 << 26) != 0 {
            return Err(Id::Dc(16).into());
        }
        Ok(self.need(request, Waiting::Features(features), Effect::Features(features)))
    }

    fn set_protocol_features(&mut self, request: Request, features: u64) -> Result<Step> {
        if bit(features, 14) && !(bit(features, 3) && bit(features, 5)) {
            return Err(Fault::Close(Id::Vu(217)));
        }
        if features & !self.offer.protocol_features != 0 {
            return Err(Id::Vu(50).into());
        }
        if bit(features, 23) && !(bit(features, 20) && bit(features, 12)) {
            return Err(Id::Vu(96).into());
        }
        self.protocol = features;
        Ok(request.success())
    }

    fn set_log_base(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        if !bit(self.protocol, 1) {
            // DV-75: there is no descriptor, so there is no log.
            return Ok(request.success());
        }
        let (size, offset) = (number(body, 0, 8), number(body, 8, 8));
        if size == 0 || wraps(offset, size) {
            return Err(Id::Vu(157).into());
        }
        // HZ-82.
        if offset % 4096 != 0 {
            return Err(Id::Dc(25).into());
        }
        Ok(self.need(request, Waiting::MapLog([size, offset]), Effect::MapLog { size, offset }))
    }

    fn get_config(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let head = [number(body, 0, 4), number(body, 4, 4), number(body, 8, 4)];
        let [offset, size, _] = head;
        if offset + size > self.offer.config_limit || offset > self.offer.config_len {
            return Err(Id::Vu(193).into());
        }
        let asked = size.min(self.offer.config_len - offset);
        if asked == 0 {
            return Ok(config_reply(request, head, &[]));
        }
        let waiting = Waiting::ReadConfig { head, asked };
        Ok(self.need(request, waiting, Effect::ReadConfig { offset, size: asked }))
    }

    fn set_config(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (offset, size, flags) = (number(body, 0, 4), number(body, 4, 4), number(body, 8, 4));
        if flags > 1 {
            return Err(Id::Vu(194).into());
        }
        let end = offset + size;
        if end > self.offer.config_len {
            return Err(Id::Vu(193).into());
        }
        if size == 0 {
            // No byte is written, so no read-only one.
            return Ok(request.success());
        }
        let is_inside = |&(first, after): &(u64, u64)| first <= offset && end <= after;
        if flags == 0 && !self.offer.config_writable.iter().any(is_inside) {
            return Err(Id::Vu(195).into());
        }
        // VU-269: the rest is filler.
        let data = body[12..12 + index_of(size)].to_vec();
        Ok(self.need(request, Waiting::Ack, Effect::WriteConfig { offset, flags, data }))
    }

    fn shmem_config(&self, request: Request) -> Step {
        let mut payload = vec![0; 2056];
        // VU-240.
        let regions = self.offer.shmem.iter().filter(|size| **size != 0).count();
        payload[..4].copy_from_slice(&four(regions as u64));
        for (at, size) in self.offer.shmem.iter().enumerate() {
            payload[8 + 8 * at..16 + 8 * at].copy_from_slice(&size.to_ne_bytes());
        }
        request.reply(&payload)
    }
}

/// VU-190, VU-268: as many bytes as were asked for, zero where the space has none.
pub(super) fn config_reply(request: Request, head: [u64; 3], data: &[u8]) -> Step {
    let mut payload = Vec::with_capacity(12 + index_of(head[1]));
    for field in head {
        payload.extend(four(field));
    }
    payload.extend(data);
    payload.resize(12 + index_of(head[1]), 0);
    request.reply(&payload)
}

/// Whether a range reaches the end of the 64-bit numbers (DC-020: its end has to be one).
pub(super) fn wraps(start: u64, size: u64) -> bool {
    u128::from(start) + u128::from(size) >= 1 << 64
}
