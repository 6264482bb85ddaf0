//! Memory on a GPU that a session keeps from run to run.

use super::driver::Result;
use super::program::Program;

/// Memory that grows: what it held before is then lost.
#[derive(Default)]
pub(super) struct Memory {
    /// Address and size, if there is some.
    held: Option<(u64, u64)>,
}

impl Memory {
    /// The address of so many bytes.
    pub fn of(&mut self, program: &Program, bytes: u64) -> Result<u64> {
        if let Some((address, held)) = self.held
            && held >= bytes
        {
            return Ok(address);
        }
        self.free(program);
        let address = program.allocate(bytes)?;
        self.held = Some((address, bytes));
        Ok(address)
    }

    /// Gives it back. The driver waits for kernels that use it.
    pub fn free(&mut self, program: &Program) {
        if let Some((address, _)) = self.held.take() {
            program.free(address);
        }
    }
}
