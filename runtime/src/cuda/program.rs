//! Code and weights of a model on a GPU, shared by its sessions.
#![allow(unsafe_code)] // calls the driver, with pointers a model gave.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use mlc_abi::{DeviceNeeds, WEIGHTS_SLACK};

use super::driver::{Attribute, Driver, Result};
use super::memory::Memory;

/// The program of a model, once a run has asked for it.
pub(crate) type Shared = Arc<Mutex<Option<Arc<Program>>>>;

/// Bytes at most of scratch memory, where one block needs no more.
const MOST_SCRATCH: u64 = 256 << 20;

/// Blocks, threads of each, and what of them has tasks of its own.
struct Grid {
    blocks: u64,
    block: u64,
    workers: u64,
}

/// A loaded module and the weights beside it.
pub(crate) struct Program {
    pub(super) driver: &'static Driver,
    context: usize,
    module: usize,
    /// Address of the weights.
    pub weights: u64,
    multiprocessors: u64,
    /// Threads that run at the same time.
    threads: u64,
    functions: Mutex<HashMap<u32, usize>>,
}

impl Program {
    /// The program of a model; loads it at the first call.
    ///
    /// # Safety
    ///
    /// `needs` holds a text that ends in 0, and weights of the size it says.
    pub unsafe fn get(shared: &Shared, needs: &DeviceNeeds) -> Result<Arc<Program>> {
        let mut slot = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = slot.as_ref() {
            program.enter()?;
            return Ok(program.clone());
        }
        // SAFETY: the caller's.
        let program = Arc::new(unsafe { Program::load(needs) }?);
        *slot = Some(program.clone());
        Ok(program)
    }

    /// # Safety
    ///
    /// As for [`get`](Program::get).
    unsafe fn load(needs: &DeviceNeeds) -> Result<Program> {
        let driver = Driver::get()?;
        let (mut count, mut device, mut context) = (0, 0, 0);
        // SAFETY: each call writes one number.
        unsafe {
            driver.check((driver.count)(&mut count), "looking for a GPU")?;
            if count == 0 {
                return Err("this machine has no NVIDIA GPU".into());
            }
            driver.check((driver.device)(&mut device, 0), "opening the GPU")?;
        }
        // SAFETY: the caller's.
        let code = unsafe { CStr::from_ptr(needs.code) };
        check_capability(driver, device, &code.to_string_lossy())?;
        // SAFETY: a context is written, and used from here on.
        unsafe {
            driver.check((driver.retain)(&mut context, device), "opening the GPU")?;
            driver.check((driver.set_current)(context), "opening the GPU")?;
        }
        let multiprocessors = driver.number(device, Attribute::Multiprocessors)?.max(1) as u64;
        let threads = multiprocessors * driver.number(device, Attribute::ThreadsOfMultiprocessor)?.max(1) as u64;
        let module = load_module(driver, code)?;
        let functions = Mutex::new(HashMap::new());
        let mut program = Program { driver, context, module, weights: 0, multiprocessors, threads, functions };
        if needs.weights_bytes > 0 {
            let bytes = (needs.weights_bytes + WEIGHTS_SLACK) as usize;
            program.weights = program.allocate(bytes as u64)?;
            // SAFETY: the weights are as long as the caller says, and so is the allocation.
            let copied = unsafe { (driver.up)(program.weights, needs.weights, bytes) };
            driver.check(copied, "copying the weights to the GPU")?;
        }
        Ok(program)
    }

    /// Makes the GPU's context that of this thread.
    fn enter(&self) -> Result<()> {
        // SAFETY: the context was given by the driver and is never released.
        self.driver.check(unsafe { (self.driver.set_current)(self.context) }, "entering the GPU's context")
    }

    /// Memory on the GPU.
    pub fn allocate(&self, bytes: u64) -> Result<u64> {
        let mut address = 0;
        let doing = format!("allocating {bytes} bytes on the GPU");
        // SAFETY: writes an address.
        self.driver.check(unsafe { (self.driver.allocate)(&mut address, bytes.max(1) as usize) }, &doing)?;
        Ok(address)
    }

    /// Gives memory back.
    pub fn free(&self, address: u64) {
        // An error here is one of an earlier call, which was told of.
        let _ = self.enter();
        // SAFETY: the address was given by `allocate`, and nothing uses it any more.
        unsafe { (self.driver.free)(address) };
    }

    /// The entry `k` followed by a number.
    fn function(&self, kernel: u32) -> Result<usize> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(&kernel) {
            return Ok(*function);
        }
        let name = CString::new(format!("k{kernel}")).map_err(|error| error.to_string())?;
        let mut function = 0;
        // SAFETY: writes a handle for a name that ends in 0.
        let found = unsafe { (self.driver.function)(&mut function, self.module, name.as_ptr()) };
        self.driver.check(found, &format!("looking for kernel {kernel}"))?;
        functions.insert(kernel, function);
        Ok(function)
    }

    /// Starts a kernel, a block of `crew` threads for each task, or a thread if that is 0; or fewer, if each needs `scratch`
    /// bytes, which `memory` gives.
    ///
    /// # Safety
    ///
    /// `args` are as many as the entry takes, and fit what it does with them.
    pub(super) unsafe fn launch(
        &self,
        kernel: u32,
        args: *const u64,
        tasks: u64,
        (crew, scratch): (u32, u64),
        memory: &mut Memory,
    ) -> Result<()> {
        if tasks == 0 {
            return Ok(());
        }
        let function = self.function(kernel)?;
        let grid = self.grid(tasks, u64::from(crew), scratch);
        let blocks = c_uint::try_from(grid.blocks).ok().filter(|blocks| *blocks <= i32::MAX as c_uint);
        let blocks = blocks.ok_or_else(|| format!("kernel {kernel} has {tasks} tasks, too many for the GPU"))?;
        let far = match scratch {
            0 => 0,
            _ => memory
                .of(self, grid.workers.saturating_mul(scratch))
                .map_err(|why| format!("kernel {kernel}: {why}"))?,
        };
        let params: [*const c_void; 3] = [args.cast(), (&raw const tasks).cast(), (&raw const far).cast()];
        // SAFETY: the entry has three parameters, the arguments, the number of tasks and an address, which are copied by the
        // call; there is memory at the address for all workers; the rest is the caller's.
        let started = unsafe {
            let block = grid.block as c_uint;
            (self.driver.launch)(function, blocks, 1, 1, block, 1, 1, 0, 0, params.as_ptr(), std::ptr::null())
        };
        self.driver.check(started, &format!("starting kernel {kernel}"))
    }

    /// Blocks for some tasks. Of workers that need memory for themselves there are no more than can run at the same time, and
    /// where they need much, as few as bring it below [`MOST_SCRATCH`].
    fn grid(&self, tasks: u64, crew: u64, scratch: u64) -> Grid {
        let (block, of_block) = if crew == 0 { (self.block(tasks), self.block(tasks)) } else { (crew, 1) };
        let needed = tasks.div_ceil(of_block);
        let blocks = match scratch {
            0 => needed,
            _ => needed.min(self.threads / block).min(MOST_SCRATCH / scratch / of_block).max(1),
        };
        Grid { blocks, block, workers: blocks * of_block }
    }

    /// Threads of a block: many, but not so many that multiprocessors have none.
    fn block(&self, tasks: u64) -> u64 {
        let largest = u64::from(mlc_abi::DEVICE_BLOCK);
        let fits = |block: &u64| tasks >= block * self.multiprocessors * 2;
        [largest, largest / 2, largest / 4].into_iter().find(fits).unwrap_or(largest / 8)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.weights != 0 {
            self.free(self.weights);
        }
        let _ = self.enter();
        // SAFETY: all sessions, which hold this, are gone.
        unsafe { (self.driver.unload)(self.module) };
    }
}

/// Fails if the code is for GPUs that have more.
fn check_capability(driver: &Driver, device: c_int, code: &str) -> Result<()> {
    let wanted = code.split(".target sm_").nth(1).and_then(|rest| rest.split_whitespace().next());
    let wanted: i64 = wanted.and_then(|digits| digits.parse().ok()).ok_or("the model's code names no GPU")?;
    let have = driver.number(device, Attribute::Major)? * 10 + driver.number(device, Attribute::Minor)?;
    match have >= wanted {
        true => Ok(()),
        false => {
            Err(format!("the model is for GPUs from sm_{wanted} on, this one is sm_{have}: build with another `--cpu`"))
        }
    }
}

/// Compiles and loads a module; the driver's log is part of the error.
fn load_module(driver: &Driver, code: &CStr) -> Result<usize> {
    const ERROR_LOG: c_int = 5;
    const ERROR_LOG_BYTES: c_int = 6;
    const UNSUPPORTED_VERSION: c_int = 222;
    let mut log = vec![0u8; 8192];
    let (options, mut module) = ([ERROR_LOG, ERROR_LOG_BYTES], 0);
    let values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
    // SAFETY: the text ends in 0; the log has the size that the options say.
    let loaded = unsafe {
        (driver.load)(
            &mut module,
            code.as_ptr().cast::<c_char>(),
            options.len() as c_uint,
            options.as_ptr(),
            values.as_ptr(),
        )
    };
    if loaded == UNSUPPORTED_VERSION {
        let text = code.to_string_lossy();
        let version = text.split(".version ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("?");
        return Err(format!(
            "the NVIDIA driver is too old: it does not know PTX {version}, which the model's code is in"
        ));
    }
    driver.check(loaded, "compiling the kernels for this GPU").map_err(|why| {
        let log: Vec<u8> = log.into_iter().take_while(|byte| *byte != 0).collect();
        let log = String::from_utf8_lossy(&log);
        if log.is_empty() { why } else { format!("{why}\n{}", log.trim_end()) }
    })?;
    Ok(module)
}
