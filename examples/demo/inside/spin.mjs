// Runs inside: burns one core for as many milliseconds as its argument says.
const end = performance.now() + Number(process.argv[2]);
while (performance.now() < end);
