"""The GPU figures and the CIFAR-10 study on a machine that has torch, torchvision, numpy and what is brought along."""
