//! Which places of the table a census saw.

/// One bit for each place of the table.
pub(super) struct Seen(Vec<u64>);

impl Seen {
    pub(super) fn new(places: u32) -> Self {
        Self(vec![0; places as usize / 64 + 1])
    }

    pub(super) fn mark(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    pub(super) fn has(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }
}
