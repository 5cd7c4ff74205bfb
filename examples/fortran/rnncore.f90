! The part of rnncore.h that a host needs to step a model from a saved state.
module rnncore
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit
  implicit none

  interface
    integer(c_int) function rnncore_model_load(path, model) bind(c)
      import
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), intent(out) :: model
    end function
    subroutine rnncore_model_free(model) bind(c)
      import
      type(c_ptr), value :: model
    end subroutine
    integer(c_int64_t) function rnncore_model_input_size(model) bind(c)
      import
      type(c_ptr), value :: model
    end function
    integer(c_int64_t) function rnncore_model_output_size(model) bind(c)
      import
      type(c_ptr), value :: model
    end function
    integer(c_int64_t) function rnncore_model_state_size(model) bind(c)
      import
      type(c_ptr), value :: model
    end function
    integer(c_int) function rnncore_stream_open(model, rows, stream) bind(c)
      import
      type(c_ptr), value :: model
      integer(c_int64_t), value :: rows
      type(c_ptr), intent(out) :: stream
    end function
    subroutine rnncore_stream_free(stream) bind(c)
      import
      type(c_ptr), value :: stream
    end subroutine
    integer(c_int) function rnncore_stream_step(stream, x, x_bytes, y, y_bytes) bind(c)
      import
      type(c_ptr), value :: stream
      real(c_float), intent(in) :: x(*)
      integer(c_size_t), value :: x_bytes
      real(c_float), intent(out) :: y(*)
      integer(c_size_t), value :: y_bytes
    end function
    integer(c_int) function rnncore_stream_get_state(stream, state, state_bytes) bind(c)
      import
      type(c_ptr), value :: stream
      real(c_float), intent(out) :: state(*)
      integer(c_size_t), value :: state_bytes
    end function
    integer(c_int) function rnncore_stream_set_state(stream, state, state_bytes) bind(c)
      import
      type(c_ptr), value :: stream
      real(c_float), intent(in) :: state(*)
      integer(c_size_t), value :: state_bytes
    end function
    type(c_ptr) function rnncore_last_error() bind(c)
      import
    end function
    integer(c_size_t) function strlen(text) bind(c)
      import
      type(c_ptr), value :: text
    end function
  end interface

contains

  ! Stops with the library's text unless a call went well.
  subroutine check(status)
    integer(c_int), intent(in) :: status
    character(kind=c_char), pointer :: text(:)
    type(c_ptr) :: from
    if (status == 0) return
    from = rnncore_last_error()
    call c_f_pointer(from, text, [strlen(from)])
    write (error_unit, '(*(a))') text
    stop 1
  end subroutine
end module
