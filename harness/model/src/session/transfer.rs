//! Transfer of the device state (spec §6.9).

use super::{Backend, Effect, Request, Result, Step, Waiting};
use crate::Id;
use crate::vhost_user::number;

impl Backend {
    pub(super) fn set_device_state_fd(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (direction, phase) = (number(body, 0, 4), number(body, 4, 4));
        if direction > 1 || phase != 0 {
            return Err(Id::Vu(165).into());
        }
        if self.any_started() {
            return Err(Id::Vu(166).into());
        }
        Ok(self.need(request, Waiting::Transfer, Effect::Transfer(direction)))
    }

    /// VU-160, VU-161. Bit 8: the front-end's own descriptor is used.
    pub(super) fn transfer_begun(&mut self, request: Request, fd: bool) -> Step {
        self.has_transfer = true;
        let bits = if fd { 0 } else { 0x100_u64 };
        request.reply_with(&bits.to_ne_bytes(), fd)
    }

    pub(super) fn check_device_state(&mut self, request: Request) -> Result<Step> {
        if !self.has_transfer {
            return Err(Id::Vu(170).into());
        }
        Ok(self.need(request, Waiting::CheckTransfer, Effect::CheckTransfer))
    }
}
