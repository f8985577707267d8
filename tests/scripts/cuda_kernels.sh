#!/usr/bin/env bash
# scripts/cuda-kernels reads what ptxas wrote, and says so where there is none. Usage: cuda_kernels.sh ROOT
set -euo pipefail
script=$1/scripts/cuda-kernels
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# As ptxas of CUDA 12 writes; the second kernel's name has an enumerator and a lambda.
cat >"$folder/a.cu.o.ptxas" <<'END'
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN5tplab6on_gpu12_GLOBAL__N_15twiceIfEEvPT_l' for 'sm_90'
ptxas info    : Function properties for _ZN5tplab6on_gpu12_GLOBAL__N_15twiceIfEEvPT_l
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 1 barriers, 1024 bytes smem, 368 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN5tplab6on_gpu12_GLOBAL__N_16kernelILNS1_1EE1ELi4EZNS0_3useEvEUliE_EEvPfT1_' for 'sm_90'
ptxas info    : Function properties for _ZN5tplab6on_gpu12_GLOBAL__N_16kernelILNS1_1EE1ELi4EZNS0_3useEvEUliE_EEvPfT1_
    24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 360 bytes cmem[0]
END
diff - <("$script" "$folder") <<'END'
registers  spilled   shared  for    kernel
      255       48        0  sm_90  kernel<(E)1, 4, use()::{lambda(int)#1}>
       18        0     1024  sm_90  twice<float>
2 kernels, 1 of which spill registers; spilled and shared are bytes
END

code=0
"$script" "$folder/none" 2>/dev/null || code=$?
[ "$code" -eq 4 ] || { printf 'exit code %s where there are no kernels, not 4\n' "$code"; exit 1; }
