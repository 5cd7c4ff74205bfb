! Many river basins in one call a day, from a saved state (hot start): a model of rnncore in a hydrological host.
!   basins model.safetensors basins days state.f32 forcing.f32 discharge.f32
! forcing is (features, basins, days), discharge (outputs, basins, days), the state as rnncore.h says; all are raw
! float32. The state file is replaced by the state after the last day, from which the next run goes on.
program basins
  use rnncore
  implicit none
  type(c_ptr) :: model, stream
  character(len=1024) :: words(6)
  real(c_float), allocatable :: x(:, :), y(:, :), state(:)
  integer(c_int64_t) :: rows, found
  integer(c_size_t), parameter :: bytes = 4
  integer :: days, day, k, from, to, kept

  if (command_argument_count() /= 6) then
    write (error_unit, '(a)') 'usage: basins model basins days state forcing discharge'
    stop 2
  end if
  do k = 1, 6
    call get_command_argument(k, words(k))
  end do
  read (words(2), *) rows
  read (words(3), *) days

  call check(rnncore_model_load(trim(words(1)) // c_null_char, model))
  call check(rnncore_stream_open(model, rows, stream))
  call make_arrays()

  open (newunit=kept, file=words(4), access='stream', form='unformatted', status='old')
  inquire (unit=kept, size=found)
  if (found /= bytes * size(state, kind=c_size_t)) then
    write (error_unit, '(2(a, i0))') 'the state has bytes: ', found, ', expected: ', bytes * size(state, kind=c_size_t)
    stop 1
  end if
  read (kept) state
  call check(rnncore_stream_set_state(stream, state, bytes * size(state, kind=c_size_t)))

  open (newunit=from, file=words(5), access='stream', form='unformatted', status='old', action='read')
  open (newunit=to, file=words(6), access='stream', form='unformatted', status='replace')
  do day = 1, days
    read (from) x
    call check(rnncore_stream_step(stream, x, bytes * size(x, kind=c_size_t), y, bytes * size(y, kind=c_size_t)))
    write (to) y
  end do

  call check(rnncore_stream_get_state(stream, state, bytes * size(state, kind=c_size_t)))
  write (kept, pos=1) state
  call rnncore_stream_free(stream)
  call rnncore_model_free(model)

contains

  subroutine make_arrays()
    allocate (x(rnncore_model_input_size(model), rows), y(rnncore_model_output_size(model), rows))
    allocate (state(rnncore_model_state_size(model) * rows))
  end subroutine
end program
