// Descriptors that are made when a plan is executed.

/** Pipe ends and sockets are made when the plan is executed; until then the plan has this number in their place. */
export const PIPE_PLACEHOLDER = -1;
