# SPDX-License-Identifier: MIT
#
# bench/scale: the library's protocol at thousands of virtual ranks. See README.md in bench/.
#
# What depends on the number of ranks or on a block's size is compiled again, for more ranks and
# smaller blocks than the library has: 16 pages, so that a rank's part of a region is one block and
# its page table stays small.
set(scale_protocol cache.c cache_chain.c cache_evict.c cache_recall.c directory.c hold.c protocol.c readers.c
	sync.c sync_barrier.c sync_cond.c sync_lock.c sync_lock_home.c sync_sem.c sync_table.c
	sync_wait.c)
list(TRANSFORM scale_protocol PREPEND ${PROJECT_SOURCE_DIR}/lib/)
set(scale_sources cost.c events.c kernel_run.c kernels.c machine.c network.c processor.c
	topology.c)
list(TRANSFORM scale_sources PREPEND ${PROJECT_SOURCE_DIR}/bench/scale/)

add_library(scale_objects STATIC ${scale_sources} ${scale_protocol}
	${PROJECT_SOURCE_DIR}/tests/sim/virtual_node.c)
target_compile_definitions(scale_objects PUBLIC RANKS_MAX=4096u BLOCK_SHIFT=16)
target_include_directories(scale_objects
	PUBLIC ${PROJECT_SOURCE_DIR}/bench/scale ${PROJECT_SOURCE_DIR}/tests/sim)
# Behind the above: of the library's own objects, those that do not depend on it.
target_link_libraries(scale_objects PUBLIC dsm_objects)

add_executable(scale ${PROJECT_SOURCE_DIR}/bench/scale/main.c)
target_link_libraries(scale PRIVATE scale_objects)
set_target_properties(scale PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
