//! The configuration space (spec §2 P-CONFIG, §3.1 notes 24 and 25).

use super::answer::Next;
use super::effect::Effect;
use super::pending::Work;
use super::{Offer, Refusal, Session};
use crate::vhost_user::payload::Config;

impl<F, M> Session<F, M> {
    pub(super) fn get_config<'a>(&mut self, window: &Config<'_>) -> Result<Next<'a, F>, Refusal> {
        let Config { offset, size, flags, .. } = *window;
        let Offer { config_len, config_limit, .. } = self.offer;
        let refusal = |limit| Refusal::ConfigWindow { offset, size, limit };
        // VU-193. A window may go past the end of the space (VU-268), but not begin there.
        if offset > config_len {
            return Err(refusal(config_len));
        }
        if offset.checked_add(size).is_none_or(|end| end > config_limit) {
            return Err(refusal(config_limit));
        }
        let there = size.min(config_len - offset);
        if there == 0 {
            return self.config_read(offset, size, flags, &[]);
        }
        self.work = Work::ReadConfig { offset, size, flags };
        Ok(Next::Need(Effect::ReadConfig { offset, size: there }))
    }

    /// The reply has as many bytes as were asked for (VU-190); those that the device does not
    /// have are zero (VU-268).
    pub(super) fn config_read<'a>(
        &mut self,
        offset: u32,
        size: u32,
        flags: u32,
        data: &[u8],
    ) -> Result<Next<'a, F>, Refusal> {
        let window = Config { offset, size, flags, payload: data };
        Ok(Next::Answer(self.buffer.put_window(&window), None))
    }

    pub(super) fn set_config<'a>(&mut self, window: &Config<'a>) -> Result<Next<'a, F>, Refusal> {
        let Config { offset, size, flags, .. } = *window;
        if ![Config::WRITABLE, Config::LIVE_MIGRATION].contains(&flags) {
            return Err(Refusal::ConfigFlags { flags }); // VU-194
        }
        let limit = self.offer.config_len;
        let end = offset.checked_add(size).filter(|end| *end <= limit);
        let Some(end) = end else {
            return Err(Refusal::ConfigWindow { offset, size, limit }); // VU-193, HZ-92
        };
        if size == 0 {
            return Ok(Next::Success);
        }
        let is_writable = self
            .offer
            .config_writable
            .iter()
            .any(|field| field.start <= offset && end <= field.end);
        if flags == Config::WRITABLE && !is_writable {
            return Err(Refusal::ConfigReadOnly { offset, size }); // VU-195
        }
        self.work = Work::Nothing;
        // VU-269: more data than the size says is left alone.
        Ok(Next::Need(Effect::WriteConfig { offset, flags, data: window.data() }))
    }
}
