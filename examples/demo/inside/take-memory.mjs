// Runs inside: takes 200 MB in steps of 20 and says so.
const kept = [];
for (let taken = 20; taken <= 200; taken += 20) {
  kept.push(Buffer.alloc(20_000_000, 1));
  console.log(taken);
}
