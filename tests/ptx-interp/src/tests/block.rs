//! Threads of a block together: shared memory, barriers, shuffles.

use crate::{Device, Module};

/// Threads of the block: two warps.
const THREADS: u32 = 64;

/// What a block's threads leave in `%r9`, which each stores as its own word.
///
/// `%r0` is the thread's number, `%r8` the address of its word in the array `all`.
fn run(body: &str) -> Result<Vec<u32>, String> {
    let text = format!(
        ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p) {{\n.reg .b64 %d<9>;\n.reg .b32 %r<19>;\n\
         .reg .pred %p<9>;\n.shared .align 16 .b8 all[{}];\nld.param.u64 %d0, [p];\nmov.u32 %r0, %tid.x;\nmov.u32 %r7, all;\n\
         mad.lo.u32 %r8, %r0, 4, %r7;\nmul.wide.u32 %d1, %r0, 4;\nadd.s64 %d2, %d0, %d1;\nmov.u32 %r9, 0;\n{body}\n\
         st.global.u32 [%d2], %r9;\nret;\n}}\n",
        4 * THREADS
    );
    let module = Module::parse(&text)?;
    let mut device = Device::new();
    let address = device.allocate(4 * THREADS as usize);
    module.entries[0].launch([1; 3], THREADS, &address.to_le_bytes(), &mut device)?;
    let mut bytes = vec![0; 4 * THREADS as usize];
    device.read(address, &mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
}

/// Writes each thread's number; `%r10` is the address of the word of the thread on the other side.
const WRITE: &str = "st.shared.u32 [%r8], %r0;\nsub.u32 %r10, 63, %r0;\nmad.lo.u32 %r10, %r10, 4, %r7;\n";

#[test]
fn a_barrier_shows_what_others_wrote() {
    let words = run(&format!("{WRITE}bar.sync 0;\nld.shared.u32 %r9, [%r10];")).unwrap();
    assert!(words.into_iter().eq((0..THREADS).rev()));
}

/// The device's memory too: each thread reads the word of the thread on the other side, and then overwrites its own.
#[test]
fn a_barrier_orders_the_devices_memory() {
    let write = "st.global.u32 [%d2], %r0;\nsub.u32 %r1, 63, %r0;\nmul.wide.u32 %d3, %r1, 4;\nadd.s64 %d4, %d0, %d3;\n";
    let (read, barrier) = ("ld.global.u32 %r9, [%d4];\n", "bar.sync 0;\n");
    let words = run(&format!("{write}{barrier}{read}{barrier}")).unwrap();
    assert!(words.into_iter().eq((0..THREADS).rev()));
    // The second warp runs after the first one here: it is what overwrites, or what reads.
    let low = format!("{write}{barrier}setp.lt.u32 %p0, %r0, 32;\n@%p0 {read}");
    let high = format!("{write}setp.ge.u32 %p0, %r0, 32;\n@%p0 {read}{barrier}");
    for (body, expected) in [(low, "of the same launch read"), (high, "of the same launch wrote")] {
        let why = run(&body).unwrap_err();
        assert!(why.contains(expected), "{body}: {why}");
    }
}

/// Whatever they wait for among themselves.
#[test]
fn blocks_have_nothing_in_common() {
    let text = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p) {\n.reg .b64 %d<2>;\n\
                .reg .b32 %r<2>;\nld.param.u64 %d0, [p];\nst.global.u32 [%d0], 1;\nbar.sync 0;\nret;\n}\n";
    let module = Module::parse(text).unwrap();
    let mut device = Device::new();
    let address = device.allocate(4);
    let mut launch = |blocks| module.entries[0].launch([blocks, 1, 1], 1, &address.to_le_bytes(), &mut device);
    assert!(launch(1).is_ok());
    assert!(launch(2).is_err_and(|why| why.contains("a race")));
}

#[test]
fn vectors_go_through_shared_memory() {
    let body = "and.b32 %r1, %r0, 3;\nsetp.eq.u32 %p0, %r1, 0;\nmov.u32 %r9, %r0;\n@%p0 st.shared.v4.b32 [%r8], {%r0, %r0, %r0, %r0};\n\
                bar.sync 0;\n@%p0 ld.shared.v2.b32 {%r2, %r9}, [%r8+8];\nbar.sync 0;\nst.shared.u8 [%r8+3], %r0;";
    assert!(run(body).unwrap().into_iter().eq(0..THREADS));
}

#[test]
fn lanes_tell_each_other() {
    // An instruction, and the lane that each of a warp reads.
    let cases: [(&str, fn(u32) -> u32); 6] = [
        ("shfl.sync.bfly.b32 %r9, %r0, 5, 31, -1;", |lane| lane ^ 5),
        ("shfl.sync.up.b32 %r9, %r0, 3, 0, -1;", |lane| if lane < 3 { lane } else { lane - 3 }),
        ("shfl.sync.down.b32 %r9, %r0, 3, 31, -1;", |lane| if lane > 28 { lane } else { lane + 3 }),
        ("shfl.sync.idx.b32 %r9, %r0, 7, 31, -1;", |_| 7),
        // In segments of 8 lanes: `c` is (32 - 8) << 8, with the last lane of a segment below.
        ("shfl.sync.idx.b32 %r9, %r0, 2, 6175, -1;", |lane| lane / 8 * 8 + 2),
        ("shfl.sync.down.b32 %r9, %r0, 2, 6151, -1;", |lane| if lane % 8 > 5 { lane } else { lane + 2 }),
    ];
    for (text, from) in cases {
        let expected = (0..THREADS).map(|thread| thread / 32 * 32 + from(thread % 32));
        assert!(run(text).unwrap().into_iter().eq(expected), "{text}");
    }
    let found = run("shfl.sync.down.b32 %r1|%p0, %r0, 4, 31, -1;\nselp.b32 %r9, 1, 0, %p0;").unwrap();
    assert!(found.into_iter().eq((0..THREADS).map(|thread| (thread % 32 < 28).into())));
}

#[test]
fn a_warp_can_wait_for_itself() {
    let other = "xor.b32 %r10, %r0, 1;\nmad.lo.u32 %r10, %r10, 4, %r7;\nst.shared.u32 [%r8], %r0;\n";
    let words = run(&format!("{other}bar.warp.sync -1;\nld.shared.u32 %r9, [%r10];")).unwrap();
    assert!(words.into_iter().eq((0..THREADS).map(|thread| thread ^ 1)));
    let why = run(&format!("{other}ld.shared.u32 %r9, [%r10];")).unwrap_err();
    assert!(why.contains("a race"), "{why}");
}

#[test]
fn wrong_blocks_are_refused() {
    let read = "ld.shared.u32 %r9, [%r10];\n";
    let half = "setp.lt.u32 %p0, %r0, 16;\n";
    let high = "setp.ge.u32 %p0, %r0, 32;\n";
    let warp = "setp.lt.u32 %p0, %r0, 32;\n";
    let cases = [
        // Whichever of two threads runs first here.
        (format!("{WRITE}{read}"), "never written"),
        (format!("{WRITE}{high}@%p0 {read}"), "a race"),
        (format!("{WRITE}bar.sync 0;\n{read}st.shared.u32 [%r8], %r0;"), "with no barrier between"),
        (format!("{WRITE}st.shared.u32 [%r10], %r0;"), "wrote, with no barrier between"),
        (format!("{WRITE}bar.warp.sync -1;\n{high}@%p0 {read}"), "a race"),
        ("st.shared.u32 [%r7], 1;".into(), "a race"),
        ("ld.shared.u32 %r9, [%r8];".into(), "never written"),
        ("st.shared.u32 [%r8+4], %r0;\nst.shared.u32 [%r8+256], %r0;".into(), "outside the block's shared memory"),
        ("st.shared.v2.u32 [%r8], {%r0, %r0};".into(), "no multiple of 8"),
        ("cvt.u64.u32 %d3, %r8;\nst.global.u32 [%d3], %r0;".into(), "outside every allocation"),
        (format!("{half}@%p0 bra $A;\nbar.sync 0;\n$A:\n"), "to which lanes 0xffff0000"),
        (format!("{half}@%p0 bar.sync 0;"), "to which lanes 0xffff "),
        (format!("{warp}@%p0 bar.sync 0;"), "the warp at 32 has ended"),
        (format!("{warp}@%p0 ret;\nbar.sync 0;"), "the warp at 0 has ended"),
        (format!("{half}@%p0 ret;\nbar.sync 0;"), "to which lanes 0xffff0000"),
        (format!("{warp}@%p0 bra $A;\nbar.sync 0;\nbra $B;\n$A:\nbar.sync 0;\n$B:\n"), "waits elsewhere"),
        (format!("{half}@%p0 shfl.sync.bfly.b32 %r9, %r0, 1, 31, -1;"), "the mask is 0xffffffff"),
        (format!("{half}@%p0 shfl.sync.bfly.b32 %r9, %r0, 16, 31, 65535;"), "reads lane 16"),
        ("shfl.sync.bfly.b32 %r9, %r1, 1, 31, -1;".into(), "not written"),
        (format!("{half}@%p0 mov.u32 %r1, 2;\nshfl.sync.idx.b32 %r9, %r1, 20, 31, -1;"), "not written"),
        (format!("{half}@%p0 bar.warp.sync 65535;"), "barrier of some lanes"),
        ("bar.sync 1;".into(), "unknown instruction"),
    ];
    for (body, expected) in cases {
        let why = run(&body).expect_err(&body);
        assert!(why.contains(expected), "{body}: {why}");
    }
}
