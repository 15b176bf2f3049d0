"""Makes the files in this folder with NumPy: python make.py"""

import ml_dtypes
import numpy as np

arrays = {
    name: np.array([[0, 1, 2], [3, 4, 100]]).astype(name)
    for name in "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
}
arrays["bool"] = np.array([True, False, True])
arrays["bfloat16"] = np.array([1.0, -2.5, 0.15625], dtype=ml_dtypes.bfloat16)
arrays["scalar"] = np.float32(-0.5)
arrays["empty"] = np.zeros((0, 7), dtype=np.float32)
arrays["größe/1"] = np.array([[[1.5]]])
np.savez("plain.npz", **arrays)
np.savez_compressed("compressed.npz", **arrays, zeros=np.zeros((64, 64), dtype=np.float32))
cube = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
np.save("c_order.npy", cube)
np.save("fortran_order.npy", np.asfortranarray(cube))
np.save("big_endian.npy", cube.astype(">i4"))
np.save("strings.npy", np.array(["a", "bc"]))
np.save("records.npy", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]))
