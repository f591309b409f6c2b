// cuBLASLt where only Python's packages have brought it.
#pragma once

namespace longhaul {

/**
 * Where the loader does not find the library, python3 is asked whether a package beside it has it (nvidia-cublas, which torch
 * brings along), and LONGHAUL_CUBLASLT set to that. Prints what was found, or where it was looked for.
 */
void find_cublaslt(int device);

}  // namespace longhaul
