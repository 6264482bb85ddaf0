//! Files go both ways between `mlc` and numpy. Where no Python with numpy is installed, `mlc`'s own tests of the formats
//! (`formats.rs`) remain, with bytes that numpy wrote; continuous integration has one.

use mlc_ir::{DType, Tensor};
use mlc_tensorio::{Named, read, write};
use std::path::{Path, PathBuf};
use std::process::Command;

const WRITE: &str = r"
import numpy as np
x = np.arange(6, dtype=np.float32).reshape(2, 3)
np.save('c.npy', x)
np.save('fortran.npy', np.asfortranarray(x))
np.save('big.npy', x.astype('>f4'))
np.lib.format.write_array(open('version3.npy', 'wb'), x, version=(3, 0))
np.savez('stored.npz', x=x, y=np.array([True, False]))
np.savez_compressed('deflated.npz', x=x, y=np.array([True, False]))
";

const CHECK: &str = r"
import numpy as np
for name in 'f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1 b1'.split():
    x = np.load(name + '.npy')
    assert x.dtype.str[1:] == name and x.shape == (2, 0, 3)[:x.ndim], (name, x)
z = np.load('all.npz')
assert z['a'].tolist() == [1, -2] and z['b/c'].tolist() == [[3]], z
";

/// The project's own Python, else the system's, if it has numpy.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        let probe = Command::new(python).args(["-c", "import numpy"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

fn run(python: &Path, script: &str, folder: &Path) {
    let output = Command::new(python).args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn numpy_files_are_read() {
    let Some(python) = python() else { return eprintln!("no Python with numpy: nothing was compared") };
    let folder = tempfile::tempdir().unwrap();
    run(&python, WRITE, folder.path());
    let x = Tensor::from_f32s(vec![2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    for file in ["c.npy", "fortran.npy", "big.npy", "version3.npy"] {
        let expected = Named { name: None, tensor: x.clone() };
        assert_eq!(read(&folder.path().join(file)).unwrap(), [expected], "{file}");
    }
    let y = Tensor::new(DType::Bool, vec![2], vec![1, 0]).unwrap();
    let named = |name: &str, tensor: &Tensor| Named { name: Some(name.into()), tensor: tensor.clone() };
    for file in ["stored.npz", "deflated.npz"] {
        assert_eq!(read(&folder.path().join(file)).unwrap(), [named("x", &x), named("y", &y)], "{file}");
    }
}

#[test]
fn numpy_reads_what_is_written() {
    let Some(python) = python() else { return eprintln!("no Python with numpy: nothing was compared") };
    let folder = tempfile::tempdir().unwrap();
    let put = |file: &str, tensors: &[Named]| write(&folder.path().join(file), tensors).unwrap();
    for (rank, dtype) in DType::all().filter(|dtype| *dtype != DType::BF16).enumerate() {
        let shape = if rank % 2 == 0 { vec![2] } else { vec![2, 0, 3] };
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bytes()];
        let letter = if dtype == DType::Bool { "b" } else { &dtype.name()[..1] };
        let tensor = Tensor::new(dtype, shape, bytes).unwrap();
        put(&format!("{letter}{}.npy", dtype.bytes()), &[Named { name: None, tensor }]);
    }
    let three = Tensor::from_i64s(&[3]).reshaped(vec![1, 1]).unwrap();
    let a = Named { name: Some("a".into()), tensor: Tensor::from_i64s(&[1, -2]) };
    put("all.npz", &[a, Named { name: Some("b/c".into()), tensor: three }]);
    run(&python, CHECK, folder.path());
}
